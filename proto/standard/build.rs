//! Compiles the messages of the standard's conformance cases, with the checks that the contract's generator writes for
//! them. A message that the generator refuses is listed instead of failing the build: some cases expect that.

use std::env;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use prost_reflect::Syntax;
use protox::Compiler;

#[allow(dead_code, unused_imports)]
#[path = "../generator/mod.rs"]
mod generator;

const ROOT: &str = "buf.validate.conformance.cases";

fn main() {
    if let Err(error) = run() {
        eprintln!("error: {error}");
        std::process::exit(1);
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    for watched in ["build.rs", "protos", "../generator", "../third_party"] {
        println!("cargo::rerun-if-changed={watched}");
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    let mut compiler = Compiler::new(["protos", "../third_party"])?;
    compiler.include_imports(true);
    let mut files = Vec::new();
    collect(Path::new("protos"), &mut files)?;
    for file in &files {
        compiler
            .open_file(file)
            .map_err(|error| format!("{}: {error:?}", file.display()))?;
    }
    let pool = compiler.descriptor_pool();
    let own = |package: &str| package.starts_with(ROOT);

    let (mut code, mut refused, mut table) = (String::new(), String::new(), String::new());
    for one in generator::each(&pool, &own) {
        let current = pool
            .get_message_by_name(&one.name)
            .is_some_and(|message| message.parent_file().syntax() == Syntax::Proto3);
        if !current {
            continue;
        }
        match one.code {
            Ok(checks) => code.push_str(&checks),
            Err(fault) => {
                writeln!(refused, "({:?}, {fault:?}),", one.name)?;
                writeln!(
                    code,
                    "impl crate::validate::Validate for {} {{ fn check(&self, _: &crate::validate::Path<'_>, _: &mut crate::validate::Violations) {{}} }}",
                    one.path
                )?;
            }
        }
        writeln!(
            table,
            "{:?} => crate::verdict::<{}>(bytes),",
            one.name, one.path
        )?;
    }
    writeln!(
        code,
        "/// The messages that the generator refuses, and why.\npub static REFUSED: &[(&str, &str)] = &[\n{refused}];\n\
         /// What the generated checks say of a message; none for a message that is not among the cases.\n\
         pub fn check(name: &str, bytes: &[u8]) -> Option<crate::Verdict> {{ Some(match name {{ {table} _ => return None }}) }}"
    )?;
    fs::write(out.join("validators.rs"), code)?;

    let mut set = compiler.file_descriptor_set();
    set.file.retain(|file| {
        file.package().starts_with("google")
            || (file.syntax() == "proto3" && file.package() != "buf.validate")
    });
    tonic_prost_build::configure()
        .build_client(false)
        .build_server(false)
        .btree_map(".")
        .emit_rerun_if_changed(false)
        .out_dir(&out)
        .include_file("modules.rs")
        .compile_fds(set)?;
    Ok(())
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
    files.sort();
    Ok(())
}
