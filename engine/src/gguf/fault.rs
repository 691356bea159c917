//! Categories of what can be wrong with a GGUF file.

/// What is wrong with a file, or with the model in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GgufFault {
    /// The file ends early.
    Truncated,
    /// Not a little-endian GGUF file.
    BadMagic,
    /// Neither version 2 nor 3.
    UnsupportedVersion,
    /// A count that no file of this size can hold.
    CountOverflow,
    /// A string that no file of this size can hold.
    StringTooLong,
    /// Unknown metadata value type.
    BadValueType,
    /// An array of arrays.
    NestedArray,
    /// The same metadata key twice.
    DuplicateKey,
    /// A key or name that is not UTF-8.
    InvalidUtf8,
    /// The same tensor name twice.
    DuplicateTensor,
    /// Dimensions whose product does not fit.
    DimsOverflow,
    /// More than four dimensions, or none.
    TooManyDims,
    /// A dimension of zero.
    ZeroDim,
    /// Unknown tensor type.
    UnknownTensorType,
    /// A row that is not a whole number of quantisation blocks.
    RowNotBlockMultiple,
    /// Tensor data that overlaps other tensor data.
    TensorOverlap,
    /// A tensor offset that is not a multiple of the alignment.
    MisalignedOffset,
    /// Tensor data beyond the end of the file.
    TensorOutOfRange,
    /// A tensor name of more than 63 bytes.
    NameTooLong,
    /// An alignment that is not a sane power of two.
    BadAlignment,
    /// A needed metadata key is missing.
    MissingKey,
    /// A metadata key has another type than the format gives it.
    KeyType,
    /// An architecture that this engine does not have.
    UnsupportedArch,
    /// A needed tensor is missing.
    MissingTensor,
    /// A tensor with another shape than the hyperparameters imply.
    ShapeMismatch,
    /// A hyperparameter outside its range.
    BadHyperparameter,
    /// Token list and embedding rows differ.
    VocabMismatch,
    /// A tokenizer that contradicts itself.
    BadTokenizer,
    /// A tensor type that this engine cannot compute with.
    UnsupportedTensorType,
}

impl GgufFault {
    /// Name of the category.
    pub fn name(self) -> String {
        format!("{self:?}")
    }
}
