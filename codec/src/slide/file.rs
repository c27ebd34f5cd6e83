//! A still as a file that a browser shows: AVIF without decoding, JPEG for what has no AV1.

use jpeg_encoder::{ColorType, Encoder, EncodingError, SamplingFactor};
use mp4_atom::{
    Av1c, Colr, Encode, FourCC, Ftyp, Hdlr, Iinf, Iloc, Ipco, Ipma, Iprp, Ispe, ItemInfoEntry,
    ItemLocation, ItemLocationExtent, Meta, Pitm, Pixi, PropertyAssociation, PropertyAssociations,
};

use crate::av1::{Av1Error, configuration};
use crate::cmaf::scan::{self, ScanError};
use crate::decode::{self, DecodeError};

/// The only item of a file.
const ITEM_ID: u32 = 1;
/// JPEG's quality of 100: letters without a visible fringe, at three times the bytes of AV1.
const JPEG_QUALITY: u8 = 85;

/// Why a segment does not become a picture file.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// The boxes are not those of a track of stills.
    #[error(transparent)]
    Boxes(#[from] ScanError),
    /// The sample inside is no AV1 key frame.
    #[error(transparent)]
    Sample(#[from] Av1Error),
    /// The sample inside does not decode.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The JPEG encoder refuses the picture.
    #[error("the JPEG encoder failed: {0}")]
    Jpeg(#[from] EncodingError),
}

/// Wraps the still of one segment into an AVIF file (ISO/IEC 23000-22); `init` is its track's
/// init segment.
pub fn avif(init: &[u8], segment: &[u8]) -> Result<Vec<u8>, PictureError> {
    let track = scan::init(init)?.into_iter().next().ok_or(ScanError::Missing("trak"))?;
    let sample = first_sample(segment)?;
    let config = configuration(sample)?;
    let ftyp = Ftyp {
        major_brand: b"avif".into(),
        minor_version: 0,
        // MA1B: the baseline profile, which is Main at most at level 5.1 (§8.2).
        compatible_brands: [b"avif", b"mif1", b"miaf", b"MA1B"].map(Into::into).to_vec(),
    };
    let mut out = Vec::new();
    ftyp.encode(&mut out).expect("a file type box always encodes");
    let ftyp_bytes = out.len();
    let encode = |offset: usize, out: &mut Vec<u8>| {
        let meta = meta(&config, (track.width, track.height), offset, sample.len());
        meta.encode(out).expect("a meta box of our own fields always encodes");
    };
    encode(0, &mut out);
    // The offset has a fixed width, so that the box's size does not change with it.
    let offset = out.len() + 8;
    out.truncate(ftyp_bytes);
    encode(offset, &mut out);
    let mdat_bytes = u32::try_from(sample.len() + 8).map_err(|_| ScanError::Length)?;
    out.extend_from_slice(&mdat_bytes.to_be_bytes());
    out.extend_from_slice(b"mdat");
    out.extend_from_slice(sample);
    Ok(out)
}

/// Decodes the still of one segment and encodes it as JPEG.
pub fn jpeg(segment: &[u8]) -> Result<Vec<u8>, PictureError> {
    let page = decode::still(first_sample(segment)?)?;
    let mut out = Vec::new();
    let mut encoder = Encoder::new(&mut out, JPEG_QUALITY);
    // The colour has no more than this in the still either.
    encoder.set_sampling_factor(SamplingFactor::F_2_2);
    let (width, height) = (page.width() as u16, page.height() as u16);
    encoder.encode(&page.to_rgb(), width, height, ColorType::Rgb)?;
    Ok(out)
}

fn first_sample(segment: &[u8]) -> Result<&[u8], ScanError> {
    scan::samples(segment)?.first().copied().ok_or(ScanError::Missing("sample"))
}

fn meta(config: &Av1c, (width, height): (u32, u32), offset: usize, bytes: usize) -> Meta {
    let mut meta =
        Meta { hdlr: Hdlr { handler: b"pict".into(), name: String::new() }, items: Vec::new() };
    meta.push(Pitm { item_id: ITEM_ID });
    meta.push(Iloc {
        item_locations: vec![ItemLocation {
            item_id: ITEM_ID,
            construction_method: 0,
            data_reference_index: 0,
            base_offset: 0,
            extents: vec![ItemLocationExtent {
                item_reference_index: 0,
                offset: offset as u64,
                length: bytes as u64,
            }],
        }],
    });
    meta.push(Iinf {
        item_infos: vec![ItemInfoEntry {
            item_id: ITEM_ID,
            item_protection_index: 0,
            item_type: Some(FourCC::new(b"av01")),
            item_name: String::new(),
            content_type: None,
            content_encoding: None,
            item_uri_type: None,
            item_not_in_presentation: false,
        }],
    });
    let properties = vec![
        Ispe { width, height }.into(),
        Pixi { bits_per_channel: vec![8; 3] }.into(),
        config.clone().into(),
        // What is on a screen is sRGB (transfer 13); BT.709 only says how it became YCbCr.
        Colr::Nclx {
            colour_primaries: 1,
            transfer_characteristics: 13,
            matrix_coefficients: 1,
            full_range_flag: false,
        }
        .into(),
    ];
    let association = |property_index| PropertyAssociation {
        // A reader that does not know the codec's configuration must not try.
        essential: property_index == 3,
        property_index,
    };
    let associations = (1..=properties.len() as u16).map(association).collect();
    meta.push(Iprp {
        ipco: Ipco { properties },
        ipma: vec![Ipma {
            item_properties: vec![PropertyAssociations { item_id: ITEM_ID, associations }],
        }],
    });
    meta
}
