//! The generator on small files of its own: what it does not know, it refuses, and says where.

#![allow(clippy::unwrap_used, missing_docs)]

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
fn unknown_rules_fail_and_are_named() {
    for (declaration, rule) in [
        (
            "string a = 1 [(buf.validate.field).string.hostname = true];",
            "string.hostname",
        ),
        (
            "string a = 1 [(buf.validate.field).string.well_known_regex = KNOWN_REGEX_HTTP_HEADER_NAME];",
            "string.well_known_regex",
        ),
        (
            "bytes a = 1 [(buf.validate.field).bytes.ipv4 = true];",
            "bytes.ipv4",
        ),
        (
            "bytes a = 1 [(buf.validate.field).bytes.prefix = \"x\"];",
            "bytes.prefix",
        ),
        (
            "int32 a = 1 [(buf.validate.field).cel_expression = \"this > 1\"];",
            "cel_expression",
        ),
        (
            "int32 a = 1 [(buf.validate.field).cel = {id: \"x\" message: \"y\" expression: \"this > 1\"}];",
            "cel x: this > 1",
        ),
        (
            "google.type.Money a = 1 [(buf.validate.field).cel = {id: \"money.non_negative\" message: \"y\" expression: \"this.units >= 0\"}];",
            "cel money.non_negative: this.units >= 0",
        ),
        (
            "repeated google.type.Money a = 1 [(buf.validate.field).repeated.unique = true];",
            "repeated.unique on messages",
        ),
        (
            "repeated string a = 1 [(buf.validate.field).repeated.items.required = true];",
            "required on list items",
        ),
        (
            "oneof c { string a = 1 [(buf.validate.field).required = true]; }",
            "required on a member of a oneof",
        ),
    ] {
        let fault = field(declaration).unwrap_err();
        assert!(fault.starts_with("case.proto: case.v1.One.a"), "{fault}");
        assert!(fault.contains(rule), "{fault}");
    }
}

#[test]
fn unknown_message_rules_fail() {
    let fault = field(
        "option (buf.validate.message).cel = {id: \"x\" message: \"y\" expression: \"true\"};",
    )
    .unwrap_err();
    assert!(
        fault.starts_with("case.proto: case.v1.One:") && fault.contains("message.cel"),
        "{fault}"
    );
    let fault = field("option (buf.validate.message).oneof = {fields: [\"b\"]};").unwrap_err();
    assert!(fault.contains("no field `b`"), "{fault}");
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
    let body = "message One { string a = 1 [(buf.validate.field).string.hostname = true]; }\nmessage Two {}\n\
                service S { rpc Do(Two) returns (One); }";
    let fault = generator::validators(&pool(body), &own).unwrap_err();
    assert!(fault.contains("string.hostname"), "{fault}");
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
