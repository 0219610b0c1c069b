//! The statistics of Regard: pure functions over slices and small structs.
//!
//! No input or output, no clock, no async. Times are in weeks. No function returns NaN or infinity for input that
//! passes its `validate`; a model that cannot answer returns an error, or `None`, and says why.
//!
//! The likelihoods are summed in fixed chunks, so that the same data give the same bits on any number of threads.

pub mod attitude;
pub mod bgnbd;
pub mod clv;
pub mod fit;
pub mod forecast;
pub mod gamma_gamma;
pub mod holdout;
pub mod mbgnbd;
pub mod measure;
pub mod predictive;
pub mod purchase;
pub mod rfm;
pub mod simulate;
pub mod special;
pub mod summary;

pub use fit::{Fit, FitError, Grade, Parameters};
pub use measure::{auc, midrank, pearson, quantile, rmse, spearman};
pub use purchase::Model;
pub use summary::{InputError, Spend, Stat};
