//! The kernel table: the one place that says what each compute kernel binds, in which order,
//! with which access, and which 32-bit words it takes.
//!
//! Three readers must agree with it: the WGSL sources in `shaders/NAME.wgsl`, the reflection check of
//! `build.rs` (naga's `GlobalUse` of slot *n* must equal `bindings[n].access`), and the recorder.
//! `build.rs` cannot depend on the crate, so it compiles this very file with
//! `#[path = "src/kernels.rs"] mod kernels;`. For that reason this module uses nothing but `core`.
//!
//! Conventions of every shader:
//! - bind group 0, storage buffers only, slot *n* is `@binding(n)`; each buffer is a struct around one runtime array;
//! - all rows are row-major and contiguous; activations and norm weights are `f32`, token ids are `u32`;
//! - the immediates are one `var<immediate>` struct of `u32` and `f32` words in the listed order (`f32` words travel as bits);
//! - grid: `x` covers columns in steps of the workgroup's width, `y` covers rows (tokens); shaders guard `x` overhang;
//! - no kernel writes outside the slots marked `Write` or `ReadWrite`, and none works in place;
//! - `Q8_0` weights are split at upload: `quants` holds `rows * cols` signed bytes, four to a `u32` (lowest byte first),
//!   `scales` holds one f16 per block of 32 columns, two to a `u32` (low half first), blocks numbered through all rows.

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
    /// Gathers rows of an `f32` embedding table.
    EmbedF32,
    /// Gathers and dequantises rows of a `Q8_0` embedding table.
    EmbedQ8_0,
    /// Root-mean-square norm of each row, or of each head of a row, times a weight row.
    RmsNorm,
    /// `y = W x` with `f32` weights.
    MatmulF32,
    /// `y = W x` with `Q8_0` weights.
    MatmulQ8_0,
    /// Rotary position embedding on adjacent elements or on halves of a head.
    Rope,
    /// Appends rows to a key or value cache.
    KvStore,
    /// Causal attention over the cache, grouped-query heads.
    Attention,
    /// `silu(gate) * up`.
    SiluMul,
    /// `a + b`.
    Add,
    /// Writes one word of a private dummy buffer, for measuring dispatch cost.
    Noop,
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
    /// Shader file stem, telemetry bucket and name in dumps.
    pub name: &'static str,
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

/// The table, in the order of [`Kernel`].
pub const KERNELS: &[KernelSpec] = &[
    // out[t, c] = table[tokens[t], c]
    KernelSpec {
        kernel: Kernel::EmbedF32,
        name: "embed_f32",
        workgroup: LINE,
        bindings: &[read("tokens"), read("table"), write("out")],
        immediates: &["n_embd", "n_vocab"],
        grid: "[ceil(n_embd / 64), n_tokens, 1]",
    },
    // out[t, c] = scales[block of (tokens[t], c)] * quants[tokens[t], c]
    KernelSpec {
        kernel: Kernel::EmbedQ8_0,
        name: "embed_q8_0",
        workgroup: LINE,
        bindings: &[read("tokens"), read("quants"), read("scales"), write("out")],
        immediates: &["n_embd", "n_vocab"],
        grid: "[ceil(n_embd / 64), n_tokens, 1]",
    },
    // out[g, c] = x[g, c] / sqrt(mean_c(x[g, c]^2) + eps) * weight[c] for groups g of n_cols elements, a row or a head;
    // one workgroup per group
    KernelSpec {
        kernel: Kernel::RmsNorm,
        name: "rms_norm",
        workgroup: LINE,
        bindings: &[read("x"), read("weight"), write("out")],
        immediates: &["n_cols", "eps_f32"],
        grid: "[row length / n_cols, n_rows, 1]",
    },
    // y[t, o] = sum_i w[o, i] * x[t, i]; one invocation per output
    KernelSpec {
        kernel: Kernel::MatmulF32,
        name: "matmul_f32",
        workgroup: LINE,
        bindings: &[read("w"), read("x"), write("y")],
        immediates: &["n_in", "n_out", "n_tokens"],
        grid: "[ceil(n_out / 64), n_tokens, 1]",
    },
    // as matmul_f32, w[o, i] = scales[(o * n_in + i) / 32] * quants[o * n_in + i]; n_in is a multiple of 32
    KernelSpec {
        kernel: Kernel::MatmulQ8_0,
        name: "matmul_q8_0",
        workgroup: LINE,
        bindings: &[read("quants"), read("scales"), read("x"), write("y")],
        immediates: &["n_in", "n_out", "n_tokens"],
        grid: "[ceil(n_out / 64), n_tokens, 1]",
    },
    // cos_sin[t, 2i] = cos, cos_sin[t, 2i+1] = sin of pair i at token t (n_rot values per token);
    // pair i of a head is (a, b) = (x[i * step], x[i * step + distance]), out = (a cos - b sin, a sin + b cos);
    // dims from n_rot on pass through, two per invocation. One invocation per pair.
    KernelSpec {
        kernel: Kernel::Rope,
        name: "rope",
        workgroup: LINE,
        bindings: &[read("x"), read("cos_sin"), write("out")],
        immediates: &["head_dim", "n_rot", "n_heads", "step", "distance"],
        grid: "[ceil(n_heads * head_dim / 2 / 64), n_tokens, 1]",
    },
    // cache[pos + t, c] = rows[t, c]
    KernelSpec {
        kernel: Kernel::KvStore,
        name: "kv_store",
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
        workgroup: LINE,
        bindings: &[read("q"), read("k_cache"), read("v_cache"), write("out")],
        immediates: &["n_heads", "n_kv_heads", "head_dim", "pos", "scale_f32"],
        grid: "[n_heads, n_tokens, 1]",
    },
    // out[r, c] = gate / (1 + exp(-gate)) * up
    KernelSpec {
        kernel: Kernel::SiluMul,
        name: "silu_mul",
        workgroup: LINE,
        bindings: &[read("gate"), read("up"), write("out")],
        immediates: &["n_cols"],
        grid: "[ceil(n_cols / 64), n_rows, 1]",
    },
    // out[r, c] = a[r, c] + b[r, c]
    KernelSpec {
        kernel: Kernel::Add,
        name: "add",
        workgroup: LINE,
        bindings: &[read("a"), read("b"), write("out")],
        immediates: &["n_cols"],
        grid: "[ceil(n_cols / 64), n_rows, 1]",
    },
    // dummy[0] = value; every noop of a pass has its own slice of the dummy region
    KernelSpec {
        kernel: Kernel::Noop,
        name: "noop",
        workgroup: LINE,
        bindings: &[write("dummy")],
        immediates: &["value"],
        grid: "[1, 1, 1]",
    },
];

/// Largest head dimension that the attention kernel holds in workgroup memory.
pub const MAX_HEAD_DIM: u32 = 256;

impl Kernel {
    /// The kernel's row of [`KERNELS`].
    pub const fn spec(self) -> &'static KernelSpec {
        &KERNELS[self as usize]
    }

    /// Shader file stem, telemetry bucket and name in dumps.
    pub const fn name(self) -> &'static str {
        self.spec().name
    }
}
