//! The kernel table: the one place that says what each compute kernel binds, in which order,
//! with which access, and which 32-bit words it takes.
//!
//! Three readers must agree with it: the WGSL sources in `shaders`, the reflection check of
//! `build.rs` (naga's `GlobalUse` of slot *n* must equal `bindings[n].access`), and the recorder.
//! A kernel's source is the files of its row one behind the other: who reads weights says so in `shaders/weights` once,
//! and every kernel over weights is made for every form of them.
//! `build.rs` cannot depend on the crate, so it compiles this very file with
//! `#[path = "src/kernels.rs"] mod kernels;`. For that reason this module uses nothing but `core`.
//!
//! Conventions of every shader:
//! - bind group 0, storage buffers only, slot *n* is `@binding(n)`; each buffer is a struct around one runtime array;
//! - all rows are row-major and contiguous; activations and norm weights are `f32`, token ids are `u32`;
//! - the immediates are one `var<immediate>` struct of `u32` and `f32` words in the listed order (`f32` words travel as bits);
//! - grid: `x` covers columns in steps of the workgroup's width, `y` covers rows (tokens); shaders guard `x` overhang;
//! - no kernel writes outside the slots marked `Write` or `ReadWrite`, and none works in place;
//! - quantised weights are split and repacked at upload into `quants` and `scales`, whose layouts `shaders/weights` describes;
//!   their rows are multiples of 32 columns.

/// How a kernel or a command touches a byte range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Access {
    /// Only reads.
    Read,
    /// Only writes; what was there before does not matter.
    Write,
    /// Reads and writes.
    ReadWrite,
}

impl Access {
    /// Whether the access reads.
    pub const fn reads(self) -> bool {
        matches!(self, Access::Read | Access::ReadWrite)
    }

    /// Whether the access writes.
    pub const fn writes(self) -> bool {
        matches!(self, Access::Write | Access::ReadWrite)
    }

    /// Name in dumps.
    pub const fn name(self) -> &'static str {
        match self {
            Access::Read => "read",
            Access::Write => "write",
            Access::ReadWrite => "read_write",
        }
    }
}

/// Every compute kernel of the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kernel {
    /// Gathers rows of an embedding table in `f32`.
    EmbedF32,
    /// Gathers rows of an embedding table in `f16`.
    EmbedF16,
    /// Gathers rows of an embedding table in `Q8_0`.
    EmbedQ8_0,
    /// Gathers rows of an embedding table in `Q4_0`.
    EmbedQ4_0,
    /// Gathers rows of an embedding table in `Q4_K`.
    EmbedQ4K,
    /// Gathers rows of an embedding table in `Q6_K`.
    EmbedQ6K,
    /// `y = W x` for several rows of activations, weights in `f32`.
    MatmulF32,
    /// `y = W x` for several rows of activations, weights in `f16`.
    MatmulF16,
    /// `y = W x` for several rows of activations, weights in `Q8_0`.
    MatmulQ8_0,
    /// `y = W x` for several rows of activations, weights in `Q4_0`.
    MatmulQ4_0,
    /// `y = W x` for several rows of activations, weights in `Q4_K`.
    MatmulQ4K,
    /// `y = W x` for several rows of activations, weights in `Q6_K`.
    MatmulQ6K,
    /// `y = W x` for one row of activations, weights in `f32`.
    MatvecF32,
    /// `y = W x` for one row of activations, weights in `f16`.
    MatvecF16,
    /// `y = W x` for one row of activations, weights in `Q8_0`.
    MatvecQ8_0,
    /// `y = W x` for one row of activations, weights in `Q4_0`.
    MatvecQ4_0,
    /// `y = W x` for one row of activations, weights in `Q4_K`.
    MatvecQ4K,
    /// `y = W x` for one row of activations, weights in `Q6_K`.
    MatvecQ6K,
    /// As [`Kernel::MatvecF32`], for devices with few cores.
    MatvecWideF32,
    /// As [`Kernel::MatvecF16`], for devices with few cores.
    MatvecWideF16,
    /// As [`Kernel::MatvecQ8_0`], for devices with few cores.
    MatvecWideQ8_0,
    /// As [`Kernel::MatvecQ4_0`], for devices with few cores.
    MatvecWideQ4_0,
    /// As [`Kernel::MatvecQ4K`], for devices with few cores.
    MatvecWideQ4K,
    /// As [`Kernel::MatvecQ6K`], for devices with few cores.
    MatvecWideQ6K,
    /// Query, key and value projections of one row of activations, weights in `f32`.
    QkvF32,
    /// Query, key and value projections of one row of activations, weights in `Q8_0`.
    QkvQ8_0,
    /// As [`Kernel::QkvF32`], for devices with few cores.
    QkvWideF32,
    /// As [`Kernel::QkvQ8_0`], for devices with few cores.
    QkvWideQ8_0,
    /// `silu(gate) * up` with both projections of one row of activations, weights in `f32`.
    FfnF32,
    /// `silu(gate) * up` with both projections of one row of activations, weights in `Q8_0`.
    FfnQ8_0,
    /// As [`Kernel::FfnF32`], for devices with few cores.
    FfnWideF32,
    /// As [`Kernel::FfnQ8_0`], for devices with few cores.
    FfnWideQ8_0,
    /// Sum of two rows and root-mean-square norm of it, times a weight row.
    ResidualNorm,
    /// Root-mean-square norm of each row, or of each head of a row, times a weight row.
    RmsNorm,
    /// Rotary position embedding on adjacent elements or on halves of a head.
    Rope,
    /// Appends rows to a key or value cache.
    KvStore,
    /// Causal attention over the cache, grouped-query heads.
    Attention,
    /// As [`Kernel::Attention`], and keeps what it knows after each tile.
    AttentionRing,
    /// Attention of one row over parts of the cache.
    AttentionSplit,
    /// Joins the parts of an attention.
    AttentionMerge,
    /// `silu(gate) * up`.
    SiluMul,
    /// `a + b`.
    Add,
    /// Writes one word of a private dummy buffer, for measuring dispatch cost.
    Noop,
    /// Copies vectors of four words, for measuring bandwidth.
    Copy,
}

/// One storage buffer of a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BindingSpec {
    /// Role, and the name of the WGSL global.
    pub name: &'static str,
    /// Access that the shader must have, exactly.
    pub access: Access,
}

/// What a kernel binds and takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KernelSpec {
    /// The kernel.
    pub kernel: Kernel,
    /// Telemetry bucket and name in dumps.
    pub name: &'static str,
    /// Stems of the files in `shaders` that make up the source, in order.
    pub sources: &'static [&'static str],
    /// `@workgroup_size`.
    pub workgroup: [u32; 3],
    /// Storage buffers by slot.
    pub bindings: &'static [BindingSpec],
    /// Names of the immediate words by position; a name that ends in `_f32` holds the bits of an `f32`.
    pub immediates: &'static [&'static str],
    /// Grid, as groups per axis.
    pub grid: &'static str,
}

const fn read(name: &'static str) -> BindingSpec {
    BindingSpec {
        name,
        access: Access::Read,
    }
}

const fn write(name: &'static str) -> BindingSpec {
    BindingSpec {
        name,
        access: Access::Write,
    }
}

/// Width of the one-dimensional workgroup that every kernel uses.
pub const WORKGROUP: u32 = 64;
const LINE: [u32; 3] = [WORKGROUP, 1, 1];

const EMBED_ONE_PART: &[BindingSpec] = &[read("tokens"), write("out"), read("w")];
const EMBED_TWO_PARTS: &[BindingSpec] =
    &[read("tokens"), write("out"), read("quants"), read("scales")];
const MATMUL_ONE_PART: &[BindingSpec] = &[read("x"), write("y"), read("w")];
const MATMUL_TWO_PARTS: &[BindingSpec] = &[read("x"), write("y"), read("quants"), read("scales")];

const QKV_ONE_PART: &[BindingSpec] = &[read("x"), write("q"), write("k"), write("v"), read("w")];
const QKV_TWO_PARTS: &[BindingSpec] = &[
    read("x"),
    write("q"),
    write("k"),
    write("v"),
    read("quants"),
    read("scales"),
];
const FFN_ONE_PART: &[BindingSpec] = &[read("x"), write("out"), read("w")];
const FFN_TWO_PARTS: &[BindingSpec] = &[read("x"), write("out"), read("quants"), read("scales")];
const ATTENTION: &[&str] = &[
    "attention/bindings",
    "attention/tile",
    "attention/quiet",
    "attention",
];

const fn fused(
    kernel: Kernel,
    name: &'static str,
    sources: &'static [&'static str],
    bindings: &'static [BindingSpec],
    immediates: &'static [&'static str],
    grid: &'static str,
) -> KernelSpec {
    KernelSpec {
        kernel,
        name,
        sources,
        workgroup: LINE,
        bindings,
        immediates,
        grid,
    }
}

const fn embed(kernel: Kernel, name: &'static str, sources: &'static [&'static str]) -> KernelSpec {
    KernelSpec {
        kernel,
        name,
        sources,
        workgroup: LINE,
        bindings: if is_one_part(sources) {
            EMBED_ONE_PART
        } else {
            EMBED_TWO_PARTS
        },
        immediates: &["n_embd", "n_vocab"],
        grid: "[ceil(n_embd / 64), n_tokens, 1]",
    }
}

const fn matmul(
    kernel: Kernel,
    name: &'static str,
    sources: &'static [&'static str],
    grid: &'static str,
) -> KernelSpec {
    KernelSpec {
        kernel,
        name,
        sources,
        workgroup: LINE,
        bindings: if is_one_part(sources) {
            MATMUL_ONE_PART
        } else {
            MATMUL_TWO_PARTS
        },
        immediates: &["n_in", "n_out", "n_tokens"],
        grid,
    }
}

/// Whether the weights that the sources read are one buffer. Those in two have their single elements from a file of its own.
const fn is_one_part(sources: &[&str]) -> bool {
    !matches!(sources[2].as_bytes(), b"weights/element")
}

/// The table, in the order of [`Kernel`].
pub const KERNELS: &[KernelSpec] = &[
    // out[t, c] = table[tokens[t], c]
    embed(
        Kernel::EmbedF32,
        "embed_f32",
        &["weights/octets", "weights/f32", "embed"],
    ),
    embed(
        Kernel::EmbedF16,
        "embed_f16",
        &["weights/octets", "weights/f16", "embed"],
    ),
    embed(
        Kernel::EmbedQ8_0,
        "embed_q8_0",
        &["weights/octets", "weights/q8_0", "weights/element", "embed"],
    ),
    embed(
        Kernel::EmbedQ4_0,
        "embed_q4_0",
        &["weights/octets", "weights/q4_0", "weights/element", "embed"],
    ),
    embed(
        Kernel::EmbedQ4K,
        "embed_q4_k",
        &["weights/octets", "weights/q4_k", "weights/element", "embed"],
    ),
    embed(
        Kernel::EmbedQ6K,
        "embed_q6_k",
        &["weights/octets", "weights/q6_k", "weights/element", "embed"],
    ),
    // y[t, o] = sum_i w[o, i] * x[t, i]; a group does 32 rows of w and 4 of x
    matmul(
        Kernel::MatmulF32,
        "matmul_f32",
        &["weights/octets", "weights/f32", "rows/plain", "matmul"],
        "[ceil(n_out / 32), ceil(n_tokens / 4), 1]",
    ),
    matmul(
        Kernel::MatmulF16,
        "matmul_f16",
        &["weights/octets", "weights/f16", "rows/plain", "matmul"],
        "[ceil(n_out / 32), ceil(n_tokens / 4), 1]",
    ),
    matmul(
        Kernel::MatmulQ8_0,
        "matmul_q8_0",
        &[
            "weights/octets",
            "weights/q8_0",
            "weights/element",
            "rows/octets",
            "matmul",
        ],
        "[ceil(n_out / 32), ceil(n_tokens / 4), 1]",
    ),
    matmul(
        Kernel::MatmulQ4_0,
        "matmul_q4_0",
        &[
            "weights/octets",
            "weights/q4_0",
            "weights/element",
            "rows/octets",
            "matmul",
        ],
        "[ceil(n_out / 32), ceil(n_tokens / 4), 1]",
    ),
    matmul(
        Kernel::MatmulQ4K,
        "matmul_q4_k",
        &[
            "weights/octets",
            "weights/q4_k",
            "weights/element",
            "rows/octets",
            "matmul",
        ],
        "[ceil(n_out / 32), ceil(n_tokens / 4), 1]",
    ),
    matmul(
        Kernel::MatmulQ6K,
        "matmul_q6_k",
        &[
            "weights/octets",
            "weights/q6_k",
            "weights/element",
            "rows/octets",
            "matmul",
        ],
        "[ceil(n_out / 32), ceil(n_tokens / 4), 1]",
    ),
    // y[t, o] = sum_i w[o, i] * x[t, i]; a group does 8 rows of w and one of x
    matmul(
        Kernel::MatvecF32,
        "matvec_f32",
        &[
            "weights/octets",
            "weights/f32",
            "rows/plain",
            "blocking/narrow",
            "rows/sums",
            "matvec",
        ],
        "[ceil(n_out / 8), n_tokens, 1]",
    ),
    matmul(
        Kernel::MatvecF16,
        "matvec_f16",
        &[
            "weights/octets",
            "weights/f16",
            "rows/plain",
            "blocking/narrow",
            "rows/sums",
            "matvec",
        ],
        "[ceil(n_out / 8), n_tokens, 1]",
    ),
    matmul(
        Kernel::MatvecQ8_0,
        "matvec_q8_0",
        &[
            "weights/octets",
            "weights/q8_0",
            "weights/element",
            "rows/octets",
            "blocking/narrow",
            "rows/sums",
            "matvec",
        ],
        "[ceil(n_out / 8), n_tokens, 1]",
    ),
    matmul(
        Kernel::MatvecQ4_0,
        "matvec_q4_0",
        &[
            "weights/octets",
            "weights/q4_0",
            "weights/element",
            "rows/octets",
            "blocking/narrow",
            "rows/sums",
            "matvec",
        ],
        "[ceil(n_out / 8), n_tokens, 1]",
    ),
    matmul(
        Kernel::MatvecQ4K,
        "matvec_q4_k",
        &[
            "weights/octets",
            "weights/q4_k",
            "weights/element",
            "rows/octets",
            "blocking/narrow",
            "rows/sums",
            "matvec",
        ],
        "[ceil(n_out / 8), n_tokens, 1]",
    ),
    matmul(
        Kernel::MatvecQ6K,
        "matvec_q6_k",
        &[
            "weights/octets",
            "weights/q6_k",
            "weights/element",
            "rows/octets",
            "blocking/narrow",
            "rows/sums",
            "matvec",
        ],
        "[ceil(n_out / 8), n_tokens, 1]",
    ),
    // y[t, o] = sum_i w[o, i] * x[t, i]; a group does 64 rows of w and one of x
    matmul(
        Kernel::MatvecWideF32,
        "matvec_wide_f32",
        &[
            "weights/octets",
            "weights/f32",
            "rows/plain",
            "blocking/wide",
            "rows/sums",
            "matvec",
        ],
        "[ceil(n_out / 64), n_tokens, 1]",
    ),
    matmul(
        Kernel::MatvecWideF16,
        "matvec_wide_f16",
        &[
            "weights/octets",
            "weights/f16",
            "rows/plain",
            "blocking/wide",
            "rows/sums",
            "matvec",
        ],
        "[ceil(n_out / 64), n_tokens, 1]",
    ),
    matmul(
        Kernel::MatvecWideQ8_0,
        "matvec_wide_q8_0",
        &[
            "weights/octets",
            "weights/q8_0",
            "weights/element",
            "rows/octets",
            "blocking/wide",
            "rows/sums",
            "matvec",
        ],
        "[ceil(n_out / 64), n_tokens, 1]",
    ),
    matmul(
        Kernel::MatvecWideQ4_0,
        "matvec_wide_q4_0",
        &[
            "weights/octets",
            "weights/q4_0",
            "weights/element",
            "rows/octets",
            "blocking/wide",
            "rows/sums",
            "matvec",
        ],
        "[ceil(n_out / 64), n_tokens, 1]",
    ),
    matmul(
        Kernel::MatvecWideQ4K,
        "matvec_wide_q4_k",
        &[
            "weights/octets",
            "weights/q4_k",
            "weights/element",
            "rows/octets",
            "blocking/wide",
            "rows/sums",
            "matvec",
        ],
        "[ceil(n_out / 64), n_tokens, 1]",
    ),
    matmul(
        Kernel::MatvecWideQ6K,
        "matvec_wide_q6_k",
        &[
            "weights/octets",
            "weights/q6_k",
            "weights/element",
            "rows/octets",
            "blocking/wide",
            "rows/sums",
            "matvec",
        ],
        "[ceil(n_out / 64), n_tokens, 1]",
    ),
    // rows of the three weights lie back to back; a group does 8, or 64, of them
    fused(
        Kernel::QkvF32,
        "qkv_f32",
        &[
            "weights/octets",
            "weights/f32",
            "rows/plain",
            "blocking/narrow",
            "rows/sums",
            "qkv",
        ],
        QKV_ONE_PART,
        &["n_in", "n_q", "n_kv"],
        "[ceil((n_q + 2 * n_kv) / 8), 1, 1]",
    ),
    fused(
        Kernel::QkvQ8_0,
        "qkv_q8_0",
        &[
            "weights/octets",
            "weights/q8_0",
            "weights/element",
            "rows/octets",
            "blocking/narrow",
            "rows/sums",
            "qkv",
        ],
        QKV_TWO_PARTS,
        &["n_in", "n_q", "n_kv"],
        "[ceil((n_q + 2 * n_kv) / 8), 1, 1]",
    ),
    fused(
        Kernel::QkvWideF32,
        "qkv_wide_f32",
        &[
            "weights/octets",
            "weights/f32",
            "rows/plain",
            "blocking/wide",
            "rows/sums",
            "qkv",
        ],
        QKV_ONE_PART,
        &["n_in", "n_q", "n_kv"],
        "[ceil((n_q + 2 * n_kv) / 64), 1, 1]",
    ),
    fused(
        Kernel::QkvWideQ8_0,
        "qkv_wide_q8_0",
        &[
            "weights/octets",
            "weights/q8_0",
            "weights/element",
            "rows/octets",
            "blocking/wide",
            "rows/sums",
            "qkv",
        ],
        QKV_TWO_PARTS,
        &["n_in", "n_q", "n_kv"],
        "[ceil((n_q + 2 * n_kv) / 64), 1, 1]",
    ),
    // rows of the two weights lie back to back; a group does 4, or 32, of each
    fused(
        Kernel::FfnF32,
        "ffn_f32",
        &[
            "weights/octets",
            "weights/f32",
            "rows/plain",
            "blocking/narrow",
            "rows/sums",
            "ffn",
        ],
        FFN_ONE_PART,
        &["n_in", "n_ff"],
        "[ceil(n_ff / 4), 1, 1]",
    ),
    fused(
        Kernel::FfnQ8_0,
        "ffn_q8_0",
        &[
            "weights/octets",
            "weights/q8_0",
            "weights/element",
            "rows/octets",
            "blocking/narrow",
            "rows/sums",
            "ffn",
        ],
        FFN_TWO_PARTS,
        &["n_in", "n_ff"],
        "[ceil(n_ff / 4), 1, 1]",
    ),
    fused(
        Kernel::FfnWideF32,
        "ffn_wide_f32",
        &[
            "weights/octets",
            "weights/f32",
            "rows/plain",
            "blocking/wide",
            "rows/sums",
            "ffn",
        ],
        FFN_ONE_PART,
        &["n_in", "n_ff"],
        "[ceil(n_ff / 32), 1, 1]",
    ),
    fused(
        Kernel::FfnWideQ8_0,
        "ffn_wide_q8_0",
        &[
            "weights/octets",
            "weights/q8_0",
            "weights/element",
            "rows/octets",
            "blocking/wide",
            "rows/sums",
            "ffn",
        ],
        FFN_TWO_PARTS,
        &["n_in", "n_ff"],
        "[ceil(n_ff / 32), 1, 1]",
    ),
    // sum = a + b; out as rms_norm of sum; one workgroup per row
    KernelSpec {
        kernel: Kernel::ResidualNorm,
        name: "residual_norm",
        sources: &["residual_norm"],
        workgroup: LINE,
        bindings: &[
            read("a"),
            read("b"),
            read("weight"),
            write("out"),
            write("sum"),
        ],
        immediates: &["n_cols", "eps_f32"],
        grid: "[1, n_rows, 1]",
    },
    // out[g, c] = x[g, c] / sqrt(mean_c(x[g, c]^2) + eps) * weight[c] for groups g of n_cols elements, a row or a head;
    // one workgroup per group
    KernelSpec {
        kernel: Kernel::RmsNorm,
        name: "rms_norm",
        sources: &["rms_norm"],
        workgroup: LINE,
        bindings: &[read("x"), read("weight"), write("out")],
        immediates: &["n_cols", "eps_f32"],
        grid: "[row length / n_cols, n_rows, 1]",
    },
    // cos_sin[t, 2i] = cos, cos_sin[t, 2i+1] = sin of pair i at token t (n_rot values per token);
    // pair i of a head is (a, b) = (x[i * step], x[i * step + distance]), out = (a cos - b sin, a sin + b cos);
    // dims from n_rot on pass through, two per invocation. One invocation per pair.
    KernelSpec {
        kernel: Kernel::Rope,
        name: "rope",
        sources: &["rope"],
        workgroup: LINE,
        bindings: &[read("x"), read("cos_sin"), write("out")],
        immediates: &["head_dim", "n_rot", "n_heads", "step", "distance"],
        grid: "[ceil(n_heads * head_dim / 2 / 64), n_tokens, 1]",
    },
    // cache[pos + t, c] = rows[t, c]
    KernelSpec {
        kernel: Kernel::KvStore,
        name: "kv_store",
        sources: &["kv_store"],
        workgroup: LINE,
        bindings: &[read("rows"), write("cache")],
        immediates: &["n_cols", "pos"],
        grid: "[ceil(n_cols / 64), n_tokens, 1]",
    },
    // token t sees cache rows 0..=pos+t; query head h uses kv head h / (n_heads / n_kv_heads);
    // softmax of scale * q.k, then the weighted sum of v. Cache rows are n_kv_heads * head_dim long; head_dim <= 256.
    KernelSpec {
        kernel: Kernel::Attention,
        name: "attention",
        sources: ATTENTION,
        workgroup: LINE,
        bindings: &[read("q"), read("k_cache"), read("v_cache"), write("out")],
        immediates: &["n_heads", "n_kv_heads", "head_dim", "pos", "scale_f32"],
        grid: "[n_heads, n_tokens, 1]",
    },
    // as attention; ring[t, h, tile] = largest score so far and sum of exp(score - largest), zeros for tiles not seen
    KernelSpec {
        kernel: Kernel::AttentionRing,
        name: "attention_ring",
        sources: &[
            "attention/bindings",
            "attention/tile",
            "attention/ring",
            "attention_ring",
        ],
        workgroup: LINE,
        bindings: &[
            read("q"),
            read("k_cache"),
            read("v_cache"),
            write("out"),
            write("ring"),
        ],
        immediates: &[
            "n_heads",
            "n_kv_heads",
            "head_dim",
            "pos",
            "scale_f32",
            "n_tiles",
        ],
        grid: "[n_heads, n_tokens, 1]",
    },
    // out[h, p] = values of cache rows p * part_rows .. weighted by exp(score - maximum), that maximum, the sum of weights
    KernelSpec {
        kernel: Kernel::AttentionSplit,
        name: "attention_split",
        sources: &[
            "attention/bindings",
            "attention/tile",
            "attention/quiet",
            "attention_split",
        ],
        workgroup: LINE,
        bindings: &[read("q"), read("k_cache"), read("v_cache"), write("out")],
        immediates: &[
            "n_heads",
            "n_kv_heads",
            "head_dim",
            "pos",
            "scale_f32",
            "part_rows",
        ],
        grid: "[n_heads, ceil((pos + 1) / part_rows), 1]",
    },
    // out[h] = the parts of head h, joined
    KernelSpec {
        kernel: Kernel::AttentionMerge,
        name: "attention_merge",
        sources: &["attention_merge"],
        workgroup: LINE,
        bindings: &[read("parts"), write("out")],
        immediates: &["head_dim", "n_parts"],
        grid: "[n_heads, 1, 1]",
    },
    // out[r, c] = gate / (1 + exp(-gate)) * up
    KernelSpec {
        kernel: Kernel::SiluMul,
        name: "silu_mul",
        sources: &["silu_mul"],
        workgroup: LINE,
        bindings: &[read("gate"), read("up"), write("out")],
        immediates: &["n_cols"],
        grid: "[ceil(n_cols / 64), n_rows, 1]",
    },
    // out[r, c] = a[r, c] + b[r, c]
    KernelSpec {
        kernel: Kernel::Add,
        name: "add",
        sources: &["add"],
        workgroup: LINE,
        bindings: &[read("a"), read("b"), write("out")],
        immediates: &["n_cols"],
        grid: "[ceil(n_cols / 64), n_rows, 1]",
    },
    // dummy[0] = value; every noop of a pass has its own slice of the dummy region
    KernelSpec {
        kernel: Kernel::Noop,
        name: "noop",
        sources: &["noop"],
        workgroup: LINE,
        bindings: &[write("dummy")],
        immediates: &["value"],
        grid: "[1, 1, 1]",
    },
    // out[i] = x[i]; what the device's memory gives a kernel at best
    KernelSpec {
        kernel: Kernel::Copy,
        name: "copy",
        sources: &["copy"],
        workgroup: LINE,
        bindings: &[read("x"), write("out")],
        immediates: &["n_vectors"],
        grid: "[ceil(n_vectors / 1024), 1, 1]",
    },
];

/// Rows of a weight that one group of a decode product takes.
pub const MATVEC_ROWS: u32 = 8;
/// The same on devices with few cores.
pub const MATVEC_WIDE_ROWS: u32 = 64;
/// Rows of a weight, and of activations, that one group of a prefill product takes.
pub const MATMUL_TILE: [u32; 2] = [32, 4];
/// Vectors that one group copies.
pub const COPY_VECTORS: u32 = 1024;

/// Largest head dimension that the attention kernel holds in workgroup memory.
pub const MAX_HEAD_DIM: u32 = 256;

impl Kernel {
    /// The kernel's row of [`KERNELS`].
    pub const fn spec(self) -> &'static KernelSpec {
        &KERNELS[self as usize]
    }

    /// Telemetry bucket and name in dumps.
    pub const fn name(self) -> &'static str {
        self.spec().name
    }
}
