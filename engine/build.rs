//! Compiles `shaders/*.wgsl` to SPIR-V and proves that each shader does to its buffers what the kernel table says.
//!
//! naga's analysis tells which storage buffers an entry point reads and writes. The build stops when that differs
//! from `src/kernels.rs`: an unregistered write is the kind of bug that no later check can see (law §3).

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs};

use naga::back::spv;
use naga::valid::{Capabilities, GlobalUse, ModuleInfo, ValidationFlags, Validator};
use naga::{AddressSpace, GlobalVariable, Module, Scalar, TypeInner};
use sha2::{Digest, Sha256};

#[path = "src/kernels.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    reason = "the crate uses the rest of the table; this script needs its rows only"
)]
mod kernels;

use kernels::{Access, KERNELS, KernelSpec};

#[allow(
    clippy::print_stdout,
    reason = "a build script talks to cargo through stdout"
)]
fn main() -> ExitCode {
    for folder in ["", "/attention", "/blocking", "/rows", "/weights"] {
        println!("cargo::rerun-if-changed=shaders{folder}");
    }
    println!("cargo::rerun-if-changed=src/kernels.rs");
    println!("cargo::rerun-if-changed=build.rs");
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            for line in error.to_string().lines() {
                println!("cargo::error={line}");
            }
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<(), Box<dyn Error>> {
    let shaders = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("shaders");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    refuse_strays(&shaders)?;
    let mut table = String::from("&[\n");
    let mut manifest = Vec::new();
    for spec in KERNELS {
        let source = source_of(spec, &shaders)?;
        let spirv = compile(spec, &source)
            .map_err(|error| format!("kernel {} of {:?}: {error}", spec.name, spec.sources))?;
        let file = out.join(format!("{}.spv", spec.name));
        fs::write(&file, &spirv)?;
        let digest = hex::encode(Sha256::digest(&spirv));
        writeln!(
            table,
            "    Shader {{ name: {:?}, digest: {digest:?}, spirv: include_bytes!({file:?}) }},",
            spec.name
        )?;
        manifest.push(format!(
            "  {{\"kernel\": \"{}\", \"spirv_sha256\": \"{digest}\", \"wgsl_sha256\": \"{}\"}}",
            spec.name,
            hex::encode(Sha256::digest(source.as_bytes()))
        ));
    }
    table.push_str("]\n");
    fs::write(out.join("shaders.rs"), table)?;
    let manifest = format!("[\n{}\n]\n", manifest.join(",\n"));
    fs::write(out.join("shaders.json"), manifest)?;
    Ok(())
}

/// The files of a kernel, one behind the other.
fn source_of(spec: &KernelSpec, shaders: &Path) -> Result<String, Box<dyn Error>> {
    let mut source = String::new();
    for stem in spec.sources {
        let path = shaders.join(format!("{stem}.wgsl"));
        let file = fs::read_to_string(&path).map_err(|error| {
            format!(
                "shaders/{stem}.wgsl: {error}; kernel {} of src/kernels.rs is made of it",
                spec.name
            )
        })?;
        source.push_str(&file);
    }
    Ok(source)
}

fn refuse_strays(shaders: &Path) -> Result<(), Box<dyn Error>> {
    let mut folders = vec![shaders.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let stem = path.strip_prefix(shaders)?.with_extension("");
            if !KERNELS
                .iter()
                .any(|spec| spec.sources.iter().any(|source| stem == Path::new(source)))
            {
                return Err(format!(
                    "shaders/{}: no row of src/kernels.rs is made of it; add one or remove the file",
                    stem.display()
                )
                .into());
            }
        }
    }
    Ok(())
}

fn compile(spec: &KernelSpec, source: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    let module =
        naga::front::wgsl::parse_str(source).map_err(|error| error.emit_to_string(source))?;
    // Unpacking halves is core SPIR-V; no device feature stands behind that capability.
    let capabilities = Capabilities::IMMEDIATES | Capabilities::SHADER_FLOAT16_IN_FLOAT32;
    let info = Validator::new(ValidationFlags::all(), capabilities)
        .validate(&module)
        .map_err(|error| error.emit_to_string(source))?;
    check_interface(spec, &module, &info)?;
    let options = spv::Options {
        lang_version: (1, 3),
        flags: spv::WriterFlags::empty(),
        // Without a map, group and binding of the source are kept.
        fake_missing_bindings: true,
        // Both cost a factor of 1.6 on a software driver; shaders initialise what they read, and loops are bounded.
        zero_initialize_workgroup_memory: spv::ZeroInitializeWorkgroupMemoryMode::None,
        force_loop_bounding: false,
        emit_int_div_checks: false,
        ..spv::Options::default()
    };
    let pipeline = spv::PipelineOptions {
        shader_stage: naga::ShaderStage::Compute,
        entry_point: "main".into(),
    };
    let words = spv::write_vec(&module, &info, &options, Some(&pipeline))?;
    Ok(words.iter().flat_map(|word| word.to_le_bytes()).collect())
}

/// Compares one shader with its row of the kernel table: workgroup, bindings with access, immediates.
fn check_interface(spec: &KernelSpec, module: &Module, info: &ModuleInfo) -> Result<(), String> {
    let [entry] = module.entry_points.as_slice() else {
        return Err("needs exactly one entry point, `main`".into());
    };
    if entry.name != "main" {
        return Err(format!("entry point is `{}`, must be `main`", entry.name));
    }
    if entry.workgroup_size != spec.workgroup {
        return Err(format!(
            "workgroup size is {:?}, the table says {:?}",
            entry.workgroup_size, spec.workgroup
        ));
    }
    let function = info.get_entry_point(0);
    let mut seen = 0;
    for (handle, global) in module.global_variables.iter() {
        match global.space {
            AddressSpace::Storage { .. } => {
                check_binding(spec, module, global, function[handle])?;
                seen += 1;
            }
            AddressSpace::Immediate => check_immediates(spec, module, global)?,
            AddressSpace::WorkGroup | AddressSpace::Private => {}
            other => return Err(format!("address space {other:?} is not used here")),
        }
    }
    if seen != spec.bindings.len() {
        return Err(format!(
            "binds {seen} storage buffers, the table lists {}",
            spec.bindings.len()
        ));
    }
    Ok(())
}

fn check_binding(
    spec: &KernelSpec,
    module: &Module,
    global: &GlobalVariable,
    found: GlobalUse,
) -> Result<(), String> {
    let name = global.name.as_deref().unwrap_or("unnamed");
    let Some(binding) = global.binding.as_ref().filter(|b| b.group == 0) else {
        return Err(format!("`{name}` is not in bind group 0"));
    };
    let slot = binding.binding as usize;
    let Some(row) = spec.bindings.get(slot) else {
        return Err(format!(
            "`{name}` has binding {slot}, which the table does not list"
        ));
    };
    if row.name != name {
        return Err(format!(
            "binding {slot} is `{name}`, the table says `{}`",
            row.name
        ));
    }
    // The validation layer of Vulkan SDK 1.3.239 misses writes to bare arrays.
    if !matches!(module.types[global.ty].inner, TypeInner::Struct { .. }) {
        return Err(format!("`{name}` must be a struct around its array"));
    }
    let wanted = match row.access {
        Access::Read => GlobalUse::READ,
        Access::Write => GlobalUse::WRITE,
        Access::ReadWrite => GlobalUse::READ | GlobalUse::WRITE,
    };
    let found = found & (GlobalUse::READ | GlobalUse::WRITE | GlobalUse::ATOMIC);
    if found != wanted {
        return Err(format!(
            "`{name}` (binding {slot}) is used as {found:?}, the table says {wanted:?}; register the effect or drop it"
        ));
    }
    Ok(())
}

fn check_immediates(
    spec: &KernelSpec,
    module: &Module,
    global: &GlobalVariable,
) -> Result<(), String> {
    let TypeInner::Struct { members, .. } = &module.types[global.ty].inner else {
        return Err("immediates must be a struct".into());
    };
    let found: Vec<_> = members
        .iter()
        .map(|m| m.name.as_deref().unwrap_or("unnamed"))
        .collect();
    if found != spec.immediates {
        return Err(format!(
            "immediates are {found:?}, the table says {:?}",
            spec.immediates
        ));
    }
    for member in members {
        let name = member.name.as_deref().unwrap_or("unnamed");
        let wanted = if name.ends_with("_f32") {
            Scalar::F32
        } else {
            Scalar::U32
        };
        if !matches!(module.types[member.ty].inner, TypeInner::Scalar(found) if found == wanted) {
            return Err(format!("immediate `{name}` must be {wanted:?}"));
        }
    }
    Ok(())
}
