//! Finds the phone number library's metadata where cargo unpacked the library, which gives none of it out at run time.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use prost::Message;
use serde::Deserialize;

use super::judge::CallingCode;
use crate::cargo;

const NAME: &str = "rlibphonenumber";
const METADATA: &str = "src/generated/metadata/metadata.bin";

/// `PhoneMetadataCollection` of the library's `phonemetadata.proto`.
#[derive(Message)]
pub(crate) struct Library {
    #[prost(message, repeated, tag = "1")]
    plans: Vec<Plan>,
}

/// `PhoneMetadata`, as far as it decides what is valid: one region's plan, or one international service's.
#[derive(Message)]
pub(crate) struct Plan {
    #[prost(string, required, tag = "9")]
    pub(crate) id: String,
    #[prost(int32, optional, tag = "10")]
    country_code: Option<i32>,
    #[prost(bool, optional, tag = "22")]
    main_country_for_code: Option<bool>,
    #[prost(string, optional, tag = "23")]
    pub(crate) leading_digits: Option<String>,
    #[prost(string, optional, tag = "15")]
    pub(crate) national_prefix_for_parsing: Option<String>,
    #[prost(bool, optional, tag = "18")]
    pub(crate) same_mobile_and_fixed_line_pattern: Option<bool>,
    #[prost(message, optional, tag = "1")]
    pub(crate) general_desc: Option<Description>,
    #[prost(message, optional, tag = "2")]
    pub(crate) fixed_line: Option<Description>,
    #[prost(message, optional, tag = "3")]
    pub(crate) mobile: Option<Description>,
    #[prost(message, optional, tag = "4")]
    pub(crate) toll_free: Option<Description>,
    #[prost(message, optional, tag = "5")]
    pub(crate) premium_rate: Option<Description>,
    #[prost(message, optional, tag = "6")]
    pub(crate) shared_cost: Option<Description>,
    #[prost(message, optional, tag = "7")]
    pub(crate) personal_number: Option<Description>,
    #[prost(message, optional, tag = "8")]
    pub(crate) voip: Option<Description>,
    #[prost(message, optional, tag = "21")]
    pub(crate) pager: Option<Description>,
    #[prost(message, optional, tag = "25")]
    pub(crate) uan: Option<Description>,
    #[prost(message, optional, tag = "28")]
    pub(crate) voicemail: Option<Description>,
}

/// `PhoneNumberDesc`: what numbers of one kind look like.
#[derive(Message)]
pub(crate) struct Description {
    #[prost(string, optional, tag = "2")]
    pub(crate) national_number_pattern: Option<String>,
    #[prost(int32, repeated, packed = "false", tag = "9")]
    pub(crate) possible_length: Vec<i32>,
}

impl Library {
    /// Reads what the library that the workspace at `root` is locked to is built with.
    ///
    /// # Errors
    /// When cargo does not have the library, or the metadata is not where it was or not what it was.
    pub(crate) fn find(root: &Path) -> Result<Self> {
        #[derive(Deserialize)]
        struct Metadata {
            packages: Vec<Package>,
        }
        #[derive(Deserialize)]
        struct Package {
            name: String,
            manifest_path: String,
        }
        let text = cargo::ask(root, &["metadata", "--format-version", "1"])?;
        let packages = serde_json::from_str::<Metadata>(&text).context("cargo metadata")?.packages;
        let package = packages.into_iter().find(|package| package.name == NAME).context(NAME)?;
        let path = Path::new(&package.manifest_path).with_file_name(METADATA);
        let bytes = std::fs::read(&path).with_context(|| path.display().to_string())?;
        let library = Self::decode(bytes.as_slice()).context(METADATA)?;
        ensure!(!library.plans.is_empty(), "{METADATA} is empty");
        Ok(library)
    }

    /// The calling codes with their regions in the library's order: the main country first, then as they come.
    ///
    /// # Errors
    /// When a calling code is none.
    pub(crate) fn calling_codes(&self) -> Result<Vec<CallingCode<'_>>> {
        let mut codes: BTreeMap<u16, Vec<&Plan>> = BTreeMap::new();
        for plan in &self.plans {
            let Some(code) = plan.country_code else {
                continue; // as the library does
            };
            let regions = codes.entry(u16::try_from(code).context("calling code")?).or_default();
            let place = if plan.main_country_for_code() { 0 } else { regions.len() };
            regions.insert(place, plan);
        }
        Ok(codes.into_iter().map(|(code, regions)| CallingCode { code, regions }).collect())
    }
}
