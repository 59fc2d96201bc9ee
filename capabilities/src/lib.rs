//! Who may: typed capabilities and proofs that live exactly as long as the transaction
