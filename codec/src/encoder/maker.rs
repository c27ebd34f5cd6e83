//! Which encoder makes a track, from its first segment to its last.
//!
//! Segments of two encoders, or of two versions of one, need different decoder configurations, and
//! a track has one. So what began a track is noted before its first segment, and an import that
//! goes on does so with the same, or begins the track again.

use serde::{Deserialize, Serialize};

use super::svt_av1::{self, SvtAv1};
use super::{EncodeError, EncoderChoice, EncoderName, GopEncoder, PictureFormat, Rav1e};
use crate::ffmpeg::{Ffmpeg, Limits};

/// An encoder, so that another version of it is another maker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Maker {
    pub(crate) name: EncoderName,
    /// What it makes of the trial's pictures: some hundred bytes that hardly any change of an
    /// encoder leaves as they are. Empty of the one that is built in.
    trial: Vec<u8>,
}

/// The makers of this machine that a choice leaves.
#[derive(Debug)]
pub(crate) struct Makers {
    choice: EncoderChoice,
    /// `None` if it was not chosen.
    svt_av1: Option<Result<Maker, EncodeError>>,
}

impl Makers {
    /// Tries SVT-AV1 out, unless rav1e is chosen.
    ///
    /// # Errors
    /// If it was cancelled meanwhile, or SVT-AV1 is chosen and does not work.
    pub(crate) fn find(
        choice: EncoderChoice,
        ffmpeg: &Ffmpeg,
        limits: &Limits,
        is_cancelled: &dyn Fn() -> bool,
    ) -> Result<Self, EncodeError> {
        if choice == EncoderChoice::Rav1e {
            return Ok(Self { choice, svt_av1: None });
        }
        let maker = |trial| Maker { name: EncoderName::SvtAv1, trial };
        let found = SvtAv1::new(ffmpeg, limits).try_out(is_cancelled).map(maker);
        match found {
            Err(error) if choice == EncoderChoice::SvtAv1 => Err(error),
            Err(EncodeError::Cancelled) => Err(EncodeError::Cancelled),
            found => Ok(Self { choice, svt_av1: Some(found) }),
        }
    }

    /// The maker of a track that `begun` made the first segments of, if there are any.
    pub(crate) fn of(&self, format: &PictureFormat, begun: Option<&Maker>) -> Maker {
        let svt_av1 = self.svt_av1.as_ref().and_then(|found| found.as_ref().ok());
        let svt_av1 = svt_av1.filter(|_| svt_av1::takes(format));
        let begun = begun.filter(|_| self.choice == EncoderChoice::Auto);
        match (svt_av1, begun) {
            // Left to us, a track that rav1e has begun stays with it.
            (Some(_), Some(begun)) if *begun == Maker::rav1e() => Maker::rav1e(),
            (Some(svt_av1), _) => svt_av1.clone(),
            // What SVT-AV1 has made is not given up for a trial: perhaps nothing is missing, or it
            // works again; if not, it fails at the next GOP.
            (None, Some(begun)) => begun.clone(),
            (None, None) => Maker::rav1e(),
        }
    }

    /// What makes a track in the place of a maker that has failed at it.
    pub(crate) fn instead_of(&self, failed: &Maker) -> Option<Maker> {
        let is_left = self.choice == EncoderChoice::Auto && failed.name == EncoderName::SvtAv1;
        is_left.then(Maker::rav1e)
    }
}

impl Maker {
    /// The one that is always there.
    pub(crate) fn rav1e() -> Self {
        Self { name: EncoderName::Rav1e, trial: Vec::new() }
    }

    /// Makes it ready to encode.
    pub(crate) fn encoder(&self, ffmpeg: &Ffmpeg, limits: &Limits) -> Box<dyn GopEncoder> {
        match self.name {
            EncoderName::Rav1e => Box::new(Rav1e),
            EncoderName::SvtAv1 => Box::new(SvtAv1::new(ffmpeg, limits)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMAT: PictureFormat =
        PictureFormat { width: 640, height: 360, gop_frames: 50, frame_rate: (25, 2) };

    fn svt_av1(version: u8) -> Maker {
        Maker { name: EncoderName::SvtAv1, trial: vec![version] }
    }

    fn makers(choice: EncoderChoice, version: Option<u8>) -> Makers {
        let none = || EncodeError::NoSvtAv1 { why: "not built in".into() };
        let found = version.map(svt_av1).ok_or_else(none);
        let svt_av1 = (choice != EncoderChoice::Rav1e).then_some(found);
        Makers { choice, svt_av1 }
    }

    #[test]
    fn left_to_us_a_track_goes_on_as_it_began_if_that_is_still_there() {
        let auto = makers(EncoderChoice::Auto, Some(1));
        assert_eq!(auto.of(&FORMAT, None), svt_av1(1));
        assert_eq!(auto.of(&FORMAT, Some(&svt_av1(1))), svt_av1(1));
        assert_eq!(auto.of(&FORMAT, Some(&Maker::rav1e())), Maker::rav1e());
        assert_eq!(auto.of(&FORMAT, Some(&svt_av1(2))), svt_av1(1), "another version");
        let without = makers(EncoderChoice::Auto, None);
        assert_eq!(without.of(&FORMAT, None), Maker::rav1e());
        assert_eq!(without.of(&FORMAT, Some(&svt_av1(1))), svt_av1(1), "until it fails at a GOP");
    }

    #[test]
    fn what_was_chosen_makes_a_track_whatever_began_it() {
        let rav1e = makers(EncoderChoice::Rav1e, None);
        assert_eq!(rav1e.of(&FORMAT, Some(&svt_av1(1))), Maker::rav1e());
        let chosen = makers(EncoderChoice::SvtAv1, Some(1));
        assert_eq!(chosen.of(&FORMAT, Some(&Maker::rav1e())), svt_av1(1));
    }

    #[test]
    fn a_picture_that_is_too_small_for_svt_av1_is_made_by_rav1e() {
        let small = PictureFormat { height: 62, ..FORMAT };
        for choice in [EncoderChoice::Auto, EncoderChoice::SvtAv1] {
            assert_eq!(makers(choice, Some(1)).of(&small, None), Maker::rav1e());
        }
    }

    #[test]
    fn only_where_it_is_left_to_us_another_takes_over() {
        let auto = makers(EncoderChoice::Auto, Some(1));
        assert_eq!(auto.instead_of(&svt_av1(1)), Some(Maker::rav1e()));
        assert_eq!(auto.instead_of(&Maker::rav1e()), None);
        let chosen = makers(EncoderChoice::SvtAv1, Some(1));
        assert_eq!(chosen.instead_of(&svt_av1(1)), None);
    }
}
