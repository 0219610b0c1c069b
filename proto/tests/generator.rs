//! The generator on small files of its own: what it does not know, it refuses, and says where.

#![allow(clippy::unwrap_used, missing_docs)]

#[allow(dead_code, unused_imports)]
#[path = "../generator/mod.rs"]
mod generator;

use std::path::Path;

use protox::Compiler;
use protox::file::{
    ChainFileResolver, File, FileResolver, GoogleFileResolver, IncludeFileResolver,
};

struct Text(String);

impl FileResolver for Text {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        if name == "case.proto" {
            File::from_source(name, &self.0)
        } else {
            Err(protox::Error::file_not_found(name))
        }
    }
}

fn pool(body: &str) -> prost_reflect::DescriptorPool {
    let text = format!(
        "syntax = \"proto3\";\npackage case.v1;\nimport \"buf/validate/validate.proto\";\n\
         import \"google/type/money.proto\";\nimport \"regard/common/v1/options.proto\";\n{body}"
    );
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut resolver = ChainFileResolver::new();
    resolver.add(Text(text));
    resolver.add(IncludeFileResolver::new(root.to_owned()));
    resolver.add(IncludeFileResolver::new(root.join("third_party")));
    resolver.add(GoogleFileResolver::new());
    let mut compiler = Compiler::with_file_resolver(resolver);
    compiler
        .include_imports(true)
        .open_file("case.proto")
        .unwrap();
    compiler.descriptor_pool()
}

fn own(package: &str) -> bool {
    package == "case.v1"
}

fn field(declaration: &str) -> Result<String, String> {
    generator::validators(&pool(&format!("message One {{ {declaration} }}")), &own)
}

#[test]
fn what_cannot_be_translated_fails_and_is_named() {
    for (declaration, what) in [
        (
            "int32 a = 1 [(buf.validate.field).cel_expression = \"this +\"];",
            "cel this +",
        ),
        (
            "int32 a = 1 [(buf.validate.field).cel_expression = \"that > 1\"];",
            "nothing is called `that`",
        ),
        (
            "int32 a = 1 [(buf.validate.field).cel_expression = \"this == 'x'\"];",
            "nothing compares them",
        ),
        (
            "int32 a = 1 [(buf.validate.field).cel_expression = \"this + 1\"];",
            "must give a bool or a string",
        ),
        (
            "int32 a = 1 [(buf.validate.field).cel_expression = \"this.isLucky()\"];",
            "the function `isLucky`",
        ),
        (
            "string a = 1 [(buf.validate.field).cel_expression = \"this.matches('(')\"];",
            "pattern",
        ),
        (
            "string a = 1 [(buf.validate.field).cel_expression = \"'a'.matches(this)\"];",
            "a pattern must be a literal",
        ),
        (
            "google.type.Money a = 1 [(buf.validate.field).cel_expression = \"this.cents > 0\"];",
            "no field `cents`",
        ),
        (
            "int32 a = 1 [(buf.validate.field).cel = {id: \"x\"}];",
            "needs an id and an expression",
        ),
        (
            "repeated google.type.Money a = 1 [(buf.validate.field).repeated.unique = true];",
            "repeated.unique on messages",
        ),
    ] {
        let fault = field(declaration).unwrap_err();
        assert!(fault.starts_with("case.proto: case.v1.One.a"), "{fault}");
        assert!(fault.contains(what), "{fault}");
    }
}

#[test]
fn message_rules_that_make_no_sense_fail() {
    for (rule, what) in [
        ("cel_expression = \"this.b > 1\"", "no field `b`"),
        ("oneof = {fields: [\"b\"]}", "no field `b`"),
        ("oneof = {fields: [\"a\", \"a\"]}", "`a` twice"),
        ("oneof = {}", "names no field"),
    ] {
        let fault = field(&format!(
            "option (buf.validate.message).{rule}; int32 a = 1;"
        ))
        .unwrap_err();
        assert!(fault.starts_with("case.proto: case.v1.One"), "{fault}");
        assert!(fault.contains(what), "{fault}");
    }
}

#[test]
fn rules_of_another_type_fail() {
    let fault = field("int64 a = 1 [(buf.validate.field).int32.gt = 1];").unwrap_err();
    assert!(fault.contains("`int32` do not fit"), "{fault}");
    let fault =
        field("repeated string a = 1 [(buf.validate.field).string.min_len = 1];").unwrap_err();
    assert!(
        fault.contains("`string` do not fit a repeated field"),
        "{fault}"
    );
    let fault = field("string a = 1 [(buf.validate.field).string.pattern = \"(\"];").unwrap_err();
    assert!(fault.contains("pattern"), "{fault}");
}

#[test]
fn rules_in_answers_are_read_too() {
    let body = "message One { string a = 1 [(buf.validate.field).cel_expression = \"that\"]; }\nmessage Two {}\n\
                service S { rpc Do(Two) returns (One); }";
    let fault = generator::validators(&pool(body), &own).unwrap_err();
    assert!(fault.contains("`that`"), "{fault}");
}

#[test]
fn an_rpc_without_a_permission_fails() {
    let service = |option: &str| {
        let body = format!(
            "message One {{}}\nmessage Two {{}}\nservice S {{ rpc Do(One) returns (Two) {{ {option} }} }}"
        );
        generator::methods(&pool(&body), &own)
    };
    let fault = service("").unwrap_err();
    assert!(
        fault.starts_with("case.proto: case.v1.S.Do:") && fault.contains("permission"),
        "{fault}"
    );
    assert!(service("option (regard.common.v1.permission) = \"\";").is_err());
    assert!(service("option (regard.common.v1.permission) = \"Customer.Write\";").is_err());
    let table = service("option (regard.common.v1.permission) = \"customer.write\";").unwrap();
    assert!(
        table.contains("/case.v1.S/Do") && table.contains("customer.write"),
        "{table}"
    );
}
