//! Which size a picture is scaled to, and the ffmpeg filters that do it.

use crate::probe::VideoStream;

/// Encoders (rav1e, and decoders in hardware) want at least this width and height; smaller
/// pictures get a black border.
const SIDE_MIN: u32 = 16;

/// The picture inside a frame: what is scaled, and the frame it is padded to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameSize {
    pub(crate) scaled_width: u32,
    pub(crate) scaled_height: u32,
    pub(crate) width: u32,
    pub(crate) height: u32,
}

impl FrameSize {
    /// Fits the picture as it is shown (turned, with square pixels) into `width_max` ×
    /// `height_max`, never enlarged, both sides even.
    pub(crate) fn fit(video: &VideoStream, width_max: u32, height_max: u32) -> Self {
        let (shown_width, shown_height) = video.shown_size();
        let ratio =
            (f64::from(width_max) / shown_width).min(f64::from(height_max) / shown_height).min(1.0);
        let even = |side: f64, most: u32| ((side / 2.0).round() as u32 * 2).clamp(2, most);
        let scaled_width = even(shown_width * ratio, width_max);
        let scaled_height = even(shown_height * ratio, height_max);
        Self {
            scaled_width,
            scaled_height,
            width: scaled_width.max(SIDE_MIN),
            height: scaled_height.max(SIDE_MIN),
        }
    }

    /// The filters after the frame rate: deinterlace, scale to BT.709 limited range, pad, 4:2:0.
    pub(crate) fn filters(&self, video: &VideoStream) -> String {
        let Self { scaled_width, scaled_height, width, height } = self;
        let matrix = video.unmarked_matrix().map(|m| format!(":in_color_matrix={m}"));
        let mut filters = format!(
            "scale={scaled_width}:{scaled_height}:flags=bicubic\
             :out_color_matrix=bt709:out_range=tv{}",
            matrix.unwrap_or_default()
        );
        if (scaled_width, scaled_height) != (width, height) {
            filters += &format!(",pad={width}:{height}:-1:-1");
        }
        filters + ",setsar=1,format=yuv420p"
    }

    /// The bytes of one frame in 4:2:0 with 8 bits.
    pub(crate) fn frame_bytes(&self) -> usize {
        (self.width * self.height * 3 / 2) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fit(width: u32, height: u32, rotation: u32) -> (u32, u32, u32, u32) {
        let video = VideoStream { width, height, rotation, ..VideoStream::default() };
        let size = FrameSize::fit(&video, 640, 360);
        (size.scaled_width, size.scaled_height, size.width, size.height)
    }

    #[test]
    fn pictures_fit_even_and_never_grow() {
        assert_eq!(fit(1280, 720, 0), (640, 360, 640, 360));
        assert_eq!(fit(1920, 1080, 90), (202, 360, 202, 360));
        assert_eq!(fit(320, 240, 0), (320, 240, 320, 240));
        assert_eq!(fit(4097, 17, 0), (640, 2, 640, 16));
        assert_eq!(fit(1, 1, 0), (2, 2, 16, 16));
    }

    #[test]
    fn wide_pixels_are_made_square() {
        let video = VideoStream {
            width: 720,
            height: 576,
            sample_aspect: (64, 45),
            ..VideoStream::default()
        };
        let size = FrameSize::fit(&video, 640, 360);
        assert_eq!((size.width, size.height), (640, 360));
    }
}
