//! What the compiler refuses: each file of `proofs/` beside the message for it.

#[test]
fn misuse_of_a_proof_does_not_compile() {
    trybuild::TestCases::new().compile_fail("tests/proofs/*.rs");
}
