//! A small writer, for models made by tests and tools.

use super::TensorType;

const ALIGNMENT: usize = 32;

/// Collects metadata and tensors, then lays them out as GGUF version 3.
#[derive(Debug, Default)]
pub struct GgufWriter {
    metadata: Vec<Vec<u8>>,
    tensors: Vec<(Vec<u8>, Vec<u8>)>,
    data_len: usize,
}

impl GgufWriter {
    /// An empty file.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a `u32`.
    pub fn u32(&mut self, key: &str, value: u32) -> &mut Self {
        self.entry(key, 4, &value.to_le_bytes())
    }

    /// Adds an `f32`.
    pub fn f32(&mut self, key: &str, value: f32) -> &mut Self {
        self.entry(key, 6, &value.to_le_bytes())
    }

    /// Adds a string.
    pub fn string(&mut self, key: &str, value: &str) -> &mut Self {
        self.entry(key, 8, &prefixed(value))
    }

    /// Adds an array of strings.
    pub fn strings<'s>(
        &mut self,
        key: &str,
        values: impl ExactSizeIterator<Item = &'s str>,
    ) -> &mut Self {
        let mut bytes = 8u32.to_le_bytes().to_vec();
        bytes.extend((values.len() as u64).to_le_bytes());
        values.for_each(|value| bytes.extend(prefixed(value)));
        self.entry(key, 9, &bytes)
    }

    /// Adds an array of `i32`.
    pub fn i32s(&mut self, key: &str, values: &[i32]) -> &mut Self {
        let mut bytes = 5u32.to_le_bytes().to_vec();
        bytes.extend((values.len() as u64).to_le_bytes());
        values
            .iter()
            .for_each(|value| bytes.extend(value.to_le_bytes()));
        self.entry(key, 9, &bytes)
    }

    /// Adds a tensor; `dims` begins with the row length, `data` is in the file's byte order.
    pub fn tensor(&mut self, name: &str, dims: &[u64], ty: TensorType, data: &[u8]) -> &mut Self {
        let mut info = prefixed(name);
        info.extend((dims.len() as u32).to_le_bytes());
        dims.iter().for_each(|dim| info.extend(dim.to_le_bytes()));
        info.extend(ty.id.to_le_bytes());
        info.extend((self.data_len as u64).to_le_bytes());
        let mut data = data.to_vec();
        data.resize(data.len().next_multiple_of(ALIGNMENT), 0);
        self.data_len += data.len();
        self.tensors.push((info, data));
        self
    }

    /// The file.
    pub fn finish(&self) -> Vec<u8> {
        let mut file = b"GGUF".to_vec();
        file.extend(3u32.to_le_bytes());
        file.extend((self.tensors.len() as u64).to_le_bytes());
        file.extend((self.metadata.len() as u64).to_le_bytes());
        self.metadata.iter().for_each(|entry| file.extend(entry));
        self.tensors.iter().for_each(|(info, _)| file.extend(info));
        file.resize(file.len().next_multiple_of(ALIGNMENT), 0);
        self.tensors.iter().for_each(|(_, data)| file.extend(data));
        file
    }

    fn entry(&mut self, key: &str, ty: u32, value: &[u8]) -> &mut Self {
        let mut entry = prefixed(key);
        entry.extend(ty.to_le_bytes());
        entry.extend(value);
        self.metadata.push(entry);
        self
    }
}

fn prefixed(text: &str) -> Vec<u8> {
    let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
    bytes.extend(text.as_bytes());
    bytes
}
