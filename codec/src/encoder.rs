//! AV1 encoders behind one small interface, for the tracks that are recorded.

/// Which encoder makes the AV1 tracks of a lesson.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EncoderChoice {
    /// rav1e, built in: always there.
    #[default]
    Rav1e,
    /// SVT-AV1 of the system's ffmpeg: faster, where ffmpeg was built with it.
    SvtAv1,
}
