//! Images in rows and columns with labels, such as every pair of attribute and object.

use std::ops::Range;

use anyhow::{Result, bail, ensure};
use candle_core::Tensor;
use image::{Rgb, RgbImage};

use super::bands::{BACKGROUND, Bands};
use super::pixels::{PixelRange, levels};
use super::text::{Font, told_apart};

const INK: Rgb<u8> = Rgb([40, 40, 40]);
/// Vermilion, which people of every colour vision tell from black and white.
const MARK: Rgb<u8> = Rgb([213, 94, 0]);

/// Space around the whole, and between its parts.
const MARGIN_PX: u32 = 12;
/// Space between images.
const GAP_PX: u32 = 10;
/// Thickness of the frame around marked images; two frames fit into one gap.
const FRAME_PX: u32 = 3;
/// Images are enlarged by a whole factor until both their sides reach this.
const MIN_CELL_PX: usize = 64;
/// Row labels get at most this many times the width of an image.
const MAX_ROW_LABEL_CELLS: u32 = 4;

/// Images with a frame, and what the frame means.
#[derive(Clone, Debug)]
pub struct Marks {
    /// Which images, counted row by row.
    pub images: Vec<usize>,
    /// The line of text below the grid.
    pub meaning: String,
}

/// How images are laid out and labelled. Labels that do not fit are cut; row labels first get more room.
///
/// A matrix of attributes and objects has both kinds of labels, a strip of one image per step only column labels,
/// and a plain collection none.
#[derive(Clone, Debug, Default)]
pub struct GridPicture {
    /// Images per row, at least 1.
    pub columns: usize,
    /// One label per column, or none.
    pub column_labels: Vec<String>,
    /// One label per row, or none.
    pub row_labels: Vec<String>,
    /// A line above everything.
    pub title: Option<String>,
    /// Framed images, such as pairs held out from training.
    pub marks: Option<Marks>,
}

impl GridPicture {
    /// The picture of `images`, row by row; the last row may be short.
    /// - `images`: `(n, 3, height, width)`, `n` at least 1, spanning `range`
    ///
    /// # Errors
    /// When labels, marks or columns do not fit the number of images, or the images are not in color.
    pub fn draw(&self, images: &Tensor, range: PixelRange) -> Result<RgbImage> {
        Ok(self.bands(images, range)?.whole())
    }

    /// [`Self::draw`] band by band.
    ///
    /// # Errors
    /// As [`Self::draw`].
    pub fn bands(&self, images: &Tensor, range: PixelRange) -> Result<GridBands> {
        self.bands_of(images, &(0..images.dim(0)?).collect::<Vec<_>>(), range)
    }

    /// [`Self::bands`] of the images at these places, in this order.
    pub(crate) fn bands_of(&self, images: &Tensor, places: &[usize], range: PixelRange) -> Result<GridBands> {
        let (_, channels, height, width) = images.dims4()?;
        let count = places.len();
        self.check(count)?;
        ensure!(
            count > 0 && channels == 3,
            "{count} images of {channels} channels; a grid is of colour images"
        );
        let factor = MIN_CELL_PX.div_ceil(height.min(width).max(1));
        let cell = ((width * factor) as u32, (height * factor) as u32);
        let picture = Self {
            column_labels: told_apart(&self.column_labels),
            row_labels: told_apart(&self.row_labels),
            ..self.clone()
        };
        let layout = Layout::new(&picture, cell, count);
        let mut pixels = Vec::with_capacity(count * 3 * height * width);
        for place in places {
            // One at a time: a copy of all of them would be larger than the picture.
            let image = levels(&images.get(*place)?, range)?;
            pixels.extend(image.permute((1, 2, 0))?.flatten_all()?.to_vec1::<u8>()?);
        }
        Ok(GridBands { picture, layout, pixels, image: (width, height), factor, count })
    }

    fn check(&self, count: usize) -> Result<()> {
        ensure!(self.columns > 0, "a grid needs at least one column");
        let rows = count.div_ceil(self.columns);
        for (kind, labels, want) in
            [("column", &self.column_labels, self.columns), ("row", &self.row_labels, rows)]
        {
            let got = labels.len();
            ensure!(got == 0 || got == want, "{got} {kind} labels for a grid of {want} {kind}s");
        }
        let bad = self.marks.iter().flat_map(|marks| &marks.images).find(|image| **image >= count);
        match bad {
            Some(bad) => bail!("image {bad} is marked, but there are {count}, counted from 0"),
            None => Ok(()),
        }
    }

    /// The marks, if any image is marked: a legend without frames would only puzzle.
    fn marks(&self) -> Option<&Marks> {
        self.marks.as_ref().filter(|marks| !marks.images.is_empty())
    }
}

/// A grid of images, drawn band by band.
pub struct GridBands {
    picture: GridPicture,
    layout: Layout,
    /// Those of every image, RGB, row by row.
    pixels: Vec<u8>,
    /// Width and height of an image.
    image: (usize, usize),
    /// How many times they are enlarged.
    factor: usize,
    count: usize,
}

impl Bands for GridBands {
    fn size(&self) -> (u32, u32) {
        self.layout.size
    }

    fn band(&self, rows: Range<u32>) -> RgbImage {
        let picture = RgbImage::from_pixel(self.layout.size.0, rows.end - rows.start, BACKGROUND);
        let mut band = Band { picture, rows };
        self.draw_images(&mut band);
        self.draw_labels(&mut band);
        self.draw_marks(&mut band);
        band.picture
    }
}

impl GridBands {
    fn draw_images(&self, band: &mut Band) {
        let (width, _) = self.image;
        for image in 0..self.count {
            let (left, top) = self.layout.corner(image);
            if !band.meets(top, self.layout.cell.1) {
                continue;
            }
            for y in band.rows.start.max(top)..band.rows.end.min(top + self.layout.cell.1) {
                let row = image * self.image.1 + (y - top) as usize / self.factor;
                let row = &self.pixels[3 * row * width..][..3 * width];
                let start =
                    3 * ((y - band.rows.start) as usize * band.picture.width() as usize + left as usize);
                let drawn =
                    &mut band.picture.as_flat_samples_mut().samples[start..][..3 * width * self.factor];
                for (pixel, drawn) in row.chunks_exact(3).zip(drawn.chunks_exact_mut(3 * self.factor)) {
                    drawn.chunks_exact_mut(3).for_each(|drawn| drawn.copy_from_slice(pixel));
                }
            }
        }
    }

    fn draw_labels(&self, band: &mut Band) {
        let Self { picture, layout, .. } = self;
        let (font, (cell_width, cell_height)) = (layout.label_font, layout.cell);
        if let Some(title) = &picture.title {
            band.write(layout.line_font, title, (layout.lines_left(), MARGIN_PX));
        }
        for (column, label) in picture.column_labels.iter().enumerate() {
            let text = font.shorten(label, column_label_width(cell_width));
            let (left, top) = layout.corner(column);
            let middle = left + cell_width / 2;
            band.write(font, &text, (middle - font.width(&text) / 2, top - GAP_PX - font.height()));
        }
        for (row, label) in picture.row_labels.iter().enumerate() {
            let (left, top) = layout.corner(row * picture.columns);
            let top = top + cell_height / 2 - font.height() / 2;
            if band.meets(top, font.height()) {
                let text = font.shorten(label, layout.row_label_width);
                band.write(font, &text, (left - GAP_PX - font.width(&text), top));
            }
        }
    }

    fn draw_marks(&self, band: &mut Band) {
        let Some(marks) = self.picture.marks() else { return };
        let layout = &self.layout;
        for image in &marks.images {
            band.frame(layout.corner(*image), layout.cell);
        }
        let side = layout.line_font.height() - 2 * FRAME_PX;
        let (left, top) = (layout.lines_left(), layout.legend_top);
        band.frame((left, top + FRAME_PX), (side, side));
        band.write(layout.line_font, &marks.meaning, (left + side + GAP_PX, top));
    }
}

/// Some rows of a picture. Places are those of the whole picture.
struct Band {
    picture: RgbImage,
    rows: Range<u32>,
}

impl Band {
    /// Whether something of this height lies in it, at least in part.
    fn meets(&self, top: u32, height: u32) -> bool {
        top < self.rows.end && top + height > self.rows.start
    }

    fn write(&mut self, font: Font, text: &str, (left, top): (u32, u32)) {
        if self.meets(top, font.height()) {
            font.draw(&mut self.picture, text, (left as i32, top as i32 - self.rows.start as i32), INK);
        }
    }

    /// Draws a frame around, not over, the pixels of a rectangle.
    fn frame(&mut self, (left, top): (u32, u32), (width, height): (u32, u32)) {
        let rows = top - FRAME_PX..top + height + FRAME_PX;
        for y in rows.start.max(self.rows.start)..rows.end.min(self.rows.end) {
            for x in left - FRAME_PX..left + width + FRAME_PX {
                let inside = (left..left + width).contains(&x) && (top..top + height).contains(&y);
                if !inside {
                    self.picture.put_pixel(x, y - self.rows.start, MARK);
                }
            }
        }
    }
}

/// Where everything goes, in pixels.
struct Layout {
    size: (u32, u32),
    columns: u32,
    cell: (u32, u32),
    /// Corner of the grid; its first image lies a gap further in.
    grid: (u32, u32),
    row_label_width: u32,
    label_font: Font,
    /// Font of the title and the legend.
    line_font: Font,
    legend_top: u32,
}

impl Layout {
    fn new(picture: &GridPicture, cell: (u32, u32), count: usize) -> Self {
        let (columns, rows) = (picture.columns as u32, count.div_ceil(picture.columns) as u32);
        let grid_size = (GAP_PX + columns * (cell.0 + GAP_PX), GAP_PX + rows * (cell.1 + GAP_PX));
        let text_height = cell.1 / 4;
        let column_labels = picture.column_labels.iter().map(String::as_str);
        let label_font = Font::fitting(column_labels, column_label_width(cell.0), text_height);
        let line_font = Font::fitting(std::iter::empty(), 0, text_height);

        let widest = picture.row_labels.iter().map(|label| label_font.width(label)).max().unwrap_or(0);
        let row_label_width = widest.min(MAX_ROW_LABEL_CELLS * cell.0);
        let title_height = picture.title.as_ref().map_or(0, |_| line_font.height() + MARGIN_PX);
        let header_height = if picture.column_labels.is_empty() { 0 } else { label_font.height() };
        let grid = (MARGIN_PX + row_label_width, MARGIN_PX + title_height + header_height);
        let bottom = grid.1 + grid_size.1;
        let legend_height = picture.marks().map_or(0, |_| line_font.height() + MARGIN_PX);

        let title_width = picture.title.as_ref().map_or(0, |title| line_font.width(title));
        let legend_width =
            picture.marks().map_or(0, |marks| line_font.height() + GAP_PX + line_font.width(&marks.meaning));
        let lines_width = GAP_PX + title_width.max(legend_width);
        let size = (grid.0 + grid_size.0.max(lines_width) + MARGIN_PX, bottom + legend_height + MARGIN_PX);
        Self {
            size,
            columns,
            cell,
            grid,
            row_label_width,
            label_font,
            line_font,
            legend_top: bottom + MARGIN_PX / 2,
        }
    }

    /// Left edge of the first column, with which title and legend are aligned.
    fn lines_left(&self) -> u32 {
        self.grid.0 + GAP_PX
    }

    /// Upper left pixel of an image.
    fn corner(&self, image: usize) -> (u32, u32) {
        let (row, column) = (image as u32 / self.columns, image as u32 % self.columns);
        let (left, top) = self.grid;
        (left + GAP_PX + column * (self.cell.0 + GAP_PX), top + GAP_PX + row * (self.cell.1 + GAP_PX))
    }
}

/// Labels of neighbouring columns keep half a gap between them.
fn column_label_width(cell_width: u32) -> u32 {
    cell_width + GAP_PX / 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};

    const BLACK: Rgb<u8> = Rgb([0, 0, 0]);

    /// Six images of one level each: 0.0, 0.1, .. 0.5.
    fn images() -> Tensor {
        let levels = Tensor::arange(0f32, 6.0, &Device::Cpu).unwrap();
        (levels / 10.0).unwrap().reshape((6, 1, 1, 1)).unwrap().broadcast_as((6, 3, 32, 32)).unwrap()
    }

    fn labelled() -> GridPicture {
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        GridPicture {
            columns: 3,
            column_labels: names(&["0", "1", "two"]),
            row_labels: names(&["red", "a longer label"]),
            ..Default::default()
        }
    }

    fn plain(columns: usize) -> GridPicture {
        GridPicture { columns, ..Default::default() }
    }

    fn draw(picture: &GridPicture) -> RgbImage {
        picture.draw(&images(), PixelRange::Unit).unwrap()
    }

    fn error(picture: &GridPicture) -> String {
        picture.draw(&images(), PixelRange::Unit).unwrap_err().to_string()
    }

    #[test]
    fn cells_lie_exactly_where_they_should() {
        let picture = draw(&plain(3));
        // 32 pixels become 64; margin 12, gap 10.
        assert_eq!(picture.dimensions(), (12 + 10 + 3 * 74 + 12, 12 + 10 + 2 * 74 + 12));
        for (x, y, color) in picture.enumerate_pixels() {
            let place = |at: u32| at.checked_sub(22).filter(|at| at % 74 < 64).map(|at| at / 74);
            let want = match (place(x), place(y)) {
                (Some(column), Some(row)) if column < 3 && row < 2 => {
                    Rgb([(25.5 * f64::from(row * 3 + column)).round() as u8; 3])
                }
                _ => BACKGROUND,
            };
            assert_eq!(*color, want, "at {x}, {y}");
        }
    }

    #[test]
    fn small_images_are_enlarged_by_a_whole_factor_and_large_ones_kept() -> Result<()> {
        for (side, want) in [(1, 64), (28, 84), (32, 64), (64, 64), (65, 65), (128, 128)] {
            let image = Tensor::zeros((1, 3, side, side), DType::F32, &Device::Cpu)?;
            let picture = plain(1).draw(&image, PixelRange::Unit)?;
            assert_eq!(picture.width(), want + 2 * (MARGIN_PX + GAP_PX), "{side}");
            assert_eq!(picture.pixels().filter(|color| **color == BLACK).count() as u32, want * want);
        }
        Ok(())
    }

    #[test]
    fn each_label_changes_its_own_area_only() {
        let before = draw(&labelled());
        let changed = |picture: GridPicture| {
            let after = draw(&picture);
            assert_eq!(after.dimensions(), before.dimensions());
            let differ = before.enumerate_pixels().filter(|(x, y, color)| after.get_pixel(*x, *y) != *color);
            let places: Vec<_> = differ.map(|(x, y, _)| (x, y)).collect();
            assert!(!places.is_empty());
            places
        };
        let layout = Layout::new(&labelled(), (64, 64), 6);

        let mut picture = labelled();
        picture.column_labels[1] = "8".into();
        let (left, top) = layout.corner(1);
        let middle = left + 32;
        assert!(changed(picture).iter().all(|(x, y)| (middle - 6..middle + 6).contains(x) && *y < top));

        let mut picture = labelled();
        picture.row_labels[0] = "blu".into();
        let (left, top) = layout.corner(0);
        let middle = top + 32;
        assert!(changed(picture).iter().all(|(x, y)| *x < left && (middle - 8..middle + 8).contains(y)));
    }

    #[test]
    fn marks_frame_their_images_and_explain_themselves() {
        let marks = Marks { images: vec![4], meaning: "held out".into() };
        let picture = draw(&GridPicture { marks: Some(marks.clone()), ..labelled() });
        let layout = Layout::new(&GridPicture { marks: Some(marks), ..labelled() }, (64, 64), 6);
        let (left, top) = layout.corner(4);
        let near = |x: u32, y: u32| {
            (left - FRAME_PX..left + 64 + FRAME_PX).contains(&x)
                && (top - FRAME_PX..top + 64 + FRAME_PX).contains(&y)
        };
        let framed =
            picture.enumerate_pixels().filter(|(x, y, color)| **color == MARK && near(*x, *y)).count();
        assert_eq!(framed, 70 * 70 - 64 * 64);
        let elsewhere = picture.enumerate_pixels().filter(|(x, y, color)| **color == MARK && !near(*x, *y));
        assert!(
            elsewhere.clone().count() > 0 && elsewhere.into_iter().all(|(_, y, _)| y >= layout.legend_top)
        );
        assert_eq!(*picture.get_pixel(left, top), Rgb([102; 3]));

        let none = Marks { images: vec![], meaning: "held out".into() };
        assert_eq!(draw(&GridPicture { marks: Some(none), ..labelled() }), draw(&labelled()));
    }

    #[test]
    fn the_same_picture_is_the_same_bytes() -> Result<()> {
        let bytes = || super::super::png_file::encode_png(&draw(&labelled()), &[]);
        assert_eq!(bytes()?, bytes()?);
        Ok(())
    }

    #[test]
    fn bands_are_parts_of_the_whole() -> Result<()> {
        let marks = Marks { images: vec![1, 4], meaning: "held out".into() };
        let picture = GridPicture { marks: Some(marks), title: Some("Title".into()), ..labelled() };
        let whole = draw(&picture);
        let images = images();
        let bands = picture.bands(&images, PixelRange::Unit)?;
        assert_eq!(bands.size(), whole.dimensions());
        for step in [1, 7, 100] {
            for start in (0..whole.height()).step_by(step) {
                let rows = start..(start + step as u32).min(whole.height());
                assert_eq!(bands.band(rows.clone()), whole.band(rows.clone()), "{rows:?}");
            }
        }
        Ok(())
    }

    #[test]
    fn any_label_is_drawn_without_leaving_the_picture() {
        let long = "A".repeat(500);
        let picture = GridPicture {
            column_labels: vec![long.clone(), "日本".into(), String::new()],
            row_labels: vec![long.clone(), "\n\t".into()],
            title: Some("a title that is wider than the grid itself, which widens the picture".into()),
            marks: Some(Marks { images: vec![0, 5], meaning: "seen".into() }),
            ..labelled()
        };
        let drawn = draw(&picture);
        assert_eq!(drawn.width(), 12 + 256 + 10 + 68 * 9 + 12);
        let strip = GridPicture { row_labels: vec![], columns: 6, column_labels: vec![], ..picture };
        assert_eq!(draw(&strip).height(), 12 + 27 + 10 + 74 + 27 + 12);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        assert!(error(&plain(0)).contains("at least one column"));
        let picture = GridPicture { columns: 2, ..labelled() };
        assert_eq!(error(&picture), "3 column labels for a grid of 2 columns");
        let picture = GridPicture { row_labels: vec!["red".into()], ..labelled() };
        assert_eq!(error(&picture), "1 row labels for a grid of 2 rows");
        let marks = Some(Marks { images: vec![6], meaning: String::new() });
        assert_eq!(
            error(&GridPicture { marks, ..plain(3) }),
            "image 6 is marked, but there are 6, counted from 0"
        );
    }
}
