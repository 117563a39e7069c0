// SPDX-License-Identifier: GPL-2.0

//! The choice between KVM and TCG.

use anyhow::{Context as _, Result};
use std::env;

/// The accelerator of QEMU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accelerator {
    Kvm,
    Tcg,
}

impl Accelerator {
    pub fn arguments(self) -> [&'static str; 4] {
        match self {
            Self::Kvm => ["-accel", "kvm", "-cpu", "host"],
            Self::Tcg => ["-accel", "tcg,thread=multi", "-cpu", "max"],
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "kvm" => Some(Self::Kvm),
            "tcg" => Some(Self::Tcg),
            _ => None,
        }
    }

    /// Returns the accelerator that `ACCEL=` selects.
    pub fn wanted() -> Result<Option<Self>> {
        match env::var("ACCEL") {
            Ok(text) if !text.is_empty() => Self::parse(&text)
                .map(Some)
                .with_context(|| format!("ACCEL={text} is unknown: give kvm or tcg")),
            _ => Ok(None),
        }
    }
}
