//! Compiles the contract: messages and stubs, the checks of every message, the table of RPCs, and the descriptors.

use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use protox::Compiler;

#[allow(dead_code)]
mod generator;

/// Where the test messages find the types that the contract made.
const CONTRACT: [(&str, &str); 3] = [
    ("google.type", "crate::types"),
    ("google.longrunning", "crate::google::longrunning"),
    ("regard.common.v1", "crate::common::v1"),
];

fn main() {
    if let Err(error) = run() {
        // The message names the file, field and rule; a panic's backtrace would only hide it.
        eprintln!("error: {error}");
        std::process::exit(1);
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    for watched in [
        "build.rs",
        "generator",
        "regard",
        "third_party",
        "tests/protos",
    ] {
        println!("cargo::rerun-if-changed={watched}");
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    let contract = Source::read("regard", &["."])?;
    fs::write(out.join("contract.bin"), contract.descriptors()?)?;
    contract.generate(&out, &[])?;

    let rules = out.join("rules");
    fs::create_dir_all(&rules)?;
    if Path::new("tests/protos").is_dir() {
        Source::read("tests/protos", &["tests/protos", "."])?.generate(&rules, &CONTRACT)?;
    }
    Ok(())
}

/// A tree of `.proto` files with where they find their imports.
struct Source {
    files: Vec<PathBuf>,
    includes: Vec<PathBuf>,
    /// The packages that lie in the tree.
    packages: Vec<String>,
}

impl Source {
    fn read(tree: &str, includes: &[&str]) -> Result<Self, Box<dyn Error>> {
        let mut files = Vec::new();
        collect(Path::new(tree), &mut files)?;
        files.sort();
        let includes = includes
            .iter()
            .copied()
            .chain(["third_party"])
            .map(PathBuf::from)
            .collect();
        let mut source = Self {
            files,
            includes,
            packages: Vec::new(),
        };
        let compiler = source.compile(false)?;
        let opened = compiler
            .files()
            .filter(|file| !file.is_import())
            .map(protox::file::FileMetadata::name)
            .collect::<Vec<_>>();
        source.packages = compiler
            .file_descriptor_set()
            .file
            .iter()
            .filter(|file| opened.contains(&file.name()))
            .map(|file| file.package().to_owned())
            .collect();
        Ok(source)
    }

    fn compile(&self, comments: bool) -> Result<Compiler, Box<dyn Error>> {
        let mut compiler = Compiler::new(&self.includes)?;
        compiler.include_imports(true).include_source_info(comments);
        for file in &self.files {
            compiler
                .open_file(file)
                .map_err(|error| format!("{}: {error:?}", file.display()))?;
        }
        Ok(compiler)
    }

    /// The descriptors with all imports and options, without comments.
    fn descriptors(&self) -> Result<Vec<u8>, Box<dyn Error>> {
        Ok(self.compile(false)?.encode_file_descriptor_set())
    }

    fn ours(&self, package: &str) -> bool {
        self.packages.iter().any(|known| known == package)
    }

    /// Writes messages and stubs, checks, and the table of RPCs to `out`.
    fn generate(&self, out: &Path, extern_packages: &[(&str, &str)]) -> Result<(), Box<dyn Error>> {
        let compiler = self.compile(true)?;
        let pool = compiler.descriptor_pool();
        let own = |package: &str| self.ours(package);
        fs::write(
            out.join("validators.rs"),
            generator::validators(&pool, &own)?,
        )?;
        fs::write(out.join("methods.rs"), generator::methods(&pool, &own)?)?;
        fs::write(out.join("types.rs"), generator::types(&pool, &own))?;

        let mut set = compiler.file_descriptor_set();
        // Options alone are read above; they need no types. What is an extern path below is only looked at.
        set.file
            .retain(|file| !matches!(file.package(), "buf.validate" | "google.api"));
        for file in &mut set.file {
            if !self.ours(file.package()) {
                file.service.clear();
                file.source_code_info = None;
            }
        }
        let mut builder = tonic_prost_build::configure()
            .build_client(env::var_os("CARGO_FEATURE_CLIENT").is_some())
            .build_server(env::var_os("CARGO_FEATURE_SERVER").is_some())
            .codec_path("crate::codec::ValidatingCodec")
            .extern_path(".google.rpc", "::tonic_types")
            .bytes(".regard")
            // In order, so that equal messages have equal bytes: request digests are taken of them.
            .btree_map(".")
            .skip_debug(generator::hiding(&pool, &own))
            .emit_rerun_if_changed(false)
            .out_dir(out)
            .include_file("modules.rs");
        for (package, path) in extern_packages {
            builder = builder.extern_path(format!(".{package}"), *path);
        }
        builder.compile_fds(set)?;
        Ok(())
    }
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path
            .extension()
            .is_some_and(|extension| extension == "proto")
        {
            files.push(path);
        }
    }
    Ok(())
}
