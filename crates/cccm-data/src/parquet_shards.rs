//! Parquet files as data sets lie on the Hub: a column of encoded images, and one for each kind of labels.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::basic::{ConvertedType, Type as Physical};
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::{Field, Row};
use parquet::schema::types::Type;
use serde_json::Value;

use crate::metadata::no_column;
use crate::place::{Place, Shard, ShardBytes, Within};
use crate::rows::{Columns, Rows};
use crate::{Error, Result};

/// Rows that are decoded at a time: each may hold an image.
const ROWS_AT_A_TIME: usize = 32;

/// The labels of all rows; no image is read.
pub(crate) fn labels(files: &[PathBuf], columns: &Columns<'_>) -> Result<Rows<()>> {
    let mut rows = columns.rows();
    for path in files {
        guarded(path, || Table::open(path, columns)?.labels(&mut rows))?;
    }
    Ok(rows)
}

/// All rows. Their images are unpacked, still encoded, into a file that nobody else sees and that goes with this process: pages
/// of Parquet are compressed, and cannot be read from the middle.
pub(crate) fn read(files: &[PathBuf], columns: &Columns<'_>) -> Result<Rows<Place>> {
    let (mut rows, mut unpacked) = (columns.rows(), Unpacked::new()?);
    for path in files {
        guarded(path, || Table::open(path, columns)?.images(&mut rows, &mut unpacked))?;
    }
    unpacked.out.flush().map_err(unpacking)?;
    Ok(rows)
}

/// The images of all files, one behind the other.
struct Unpacked {
    file: Arc<File>,
    out: BufWriter<File>,
    len: u64,
}

impl Unpacked {
    fn new() -> Result<Self> {
        let file = tempfile::tempfile().map_err(unpacking)?;
        Ok(Self { out: BufWriter::new(file.try_clone().map_err(unpacking)?), file: Arc::new(file), len: 0 })
    }
}

/// What to say where images cannot be unpacked; `TMPDIR` names another folder.
fn unpacking(source: std::io::Error) -> Error {
    Error::Write { path: std::env::temp_dir(), source }
}

/// Reads a file whose damage is an error too where the library panics: it does for some that are cut off or made up.
fn guarded(path: &Path, read: impl FnOnce() -> Result<()>) -> Result<()> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| {
        let problem = "it is damaged: the library that reads Parquet panics".to_owned();
        Err(Error::Shard { path: path.to_owned(), problem })
    })
}

/// A file, and where in it labels and images lie.
struct Table<'a> {
    path: &'a Path,
    reader: SerializedFileReader<File>,
    kinds: Vec<Column>,
    image: Option<Arc<Type>>,
}

/// A column of labels.
struct Column {
    field: Arc<Type>,
    /// Names of labels that are numbers, as the `datasets` library has them.
    names: Vec<String>,
}

impl<'a> Table<'a> {
    fn open(path: &'a Path, columns: &Columns<'_>) -> Result<Self> {
        let unreadable = |source| Error::Io { path: path.to_owned(), source };
        let bad = |problem: String| Error::Shard { path: path.to_owned(), problem };
        let file = File::open(path).map_err(unreadable)?;
        let broken = |error: parquet::errors::ParquetError| bad(format!("it is no Parquet file: {error}"));
        let reader = SerializedFileReader::new(file).map_err(broken)?;
        let metadata = reader.metadata().file_metadata();
        let fields = metadata.schema().get_fields();
        let known = metadata.key_value_metadata().into_iter().flatten();
        let names = known
            .filter(|entry| entry.key == "huggingface")
            .find_map(|entry| class_names(entry.value.as_deref()?))
            .unwrap_or_default();
        let kinds = columns.names().map(|column| {
            let field = fields.iter().find(|field| field.name() == column);
            let field =
                field.ok_or_else(|| bad(no_column(column, fields.iter().map(|field| field.name()))))?;
            Ok(Column { field: Arc::clone(field), names: names.get(column).cloned().unwrap_or_default() })
        });
        let kinds = kinds.collect::<Result<_>>()?;
        let mut images = fields.iter().filter(|field| holds_images(field));
        let image = images.next().cloned();
        if let (Some(one), Some(other)) = (&image, images.next()) {
            return Err(bad(format!("`{}` and `{}` both hold images", one.name(), other.name())));
        }
        Ok(Self { path, reader, kinds, image })
    }

    fn bad(&self, row: usize, problem: &str) -> Error {
        Error::Shard { path: self.path.to_owned(), problem: format!("row {row}: {problem}") }
    }

    fn labels(&self, rows: &mut Rows<()>) -> Result<()> {
        let fields = self.kinds.iter().map(|column| Arc::clone(&column.field)).collect();
        self.each(fields, &mut |number, row| {
            let labels = self.labels_of(number, row)?;
            rows.push((), &labels, 0).map_err(|problem| self.bad(number, &problem))
        })
    }

    fn images(&self, rows: &mut Rows<Place>, unpacked: &mut Unpacked) -> Result<()> {
        let no_image = || Error::Shard {
            path: self.path.to_owned(),
            problem: "no column holds encoded images, as `image` with `bytes`".to_owned(),
        };
        let image = self.image.as_ref().ok_or_else(no_image)?;
        let bytes = ShardBytes::Open(Arc::clone(&unpacked.file));
        let shard = Arc::new(Shard { path: self.path.to_owned(), bytes });
        let mut fields: Vec<_> = self.kinds.iter().map(|column| Arc::clone(&column.field)).collect();
        fields.push(Arc::clone(image));
        self.each(fields, &mut |number, row| {
            let labels = self.labels_of(number, row)?;
            let bytes = cell(row, image.name()).and_then(image_bytes);
            let bytes = bytes.ok_or_else(|| self.bad(number, "its image is not in the file"))?;
            unpacked.out.write_all(bytes).map_err(unpacking)?;
            let (name, start, len) = (format!("row {number}").into(), unpacked.len, bytes.len() as u64);
            let within = Within { shard: Arc::clone(&shard), name, start, len };
            unpacked.len += len;
            let place = Place::Within(Box::new(within));
            rows.push(place, &labels, 0).map_err(|problem| self.bad(number, &problem))
        })
    }

    /// Every row with these columns alone, counted from 0.
    fn each(&self, fields: Vec<Arc<Type>>, visit: &mut dyn FnMut(usize, &Row) -> Result<()>) -> Result<()> {
        let broken = |error: parquet::errors::ParquetError| Error::Shard {
            path: self.path.to_owned(),
            problem: format!("it is cut off or damaged: {error}"),
        };
        let schema = self.reader.metadata().file_metadata().schema();
        let wanted = Type::group_type_builder(schema.name()).with_fields(fields).build().map_err(broken)?;
        let rows = self.reader.get_row_iter(Some(wanted)).map_err(broken)?.with_batch_size(ROWS_AT_A_TIME);
        for (number, row) in rows.enumerate() {
            visit(number, &row.map_err(broken)?)?;
        }
        Ok(())
    }

    fn labels_of(&self, number: usize, row: &Row) -> Result<Vec<String>> {
        let label = |Column { field, names }: &Column| {
            let name = field.name();
            let index = match cell(row, name) {
                Some(Field::Str(text)) => return Ok(text.clone()),
                Some(Field::Bool(value)) => return Ok(value.to_string()),
                Some(Field::Byte(value)) => i64::from(*value),
                Some(Field::Short(value)) => i64::from(*value),
                Some(Field::Int(value)) => i64::from(*value),
                Some(Field::Long(value)) => *value,
                Some(Field::UByte(value)) => i64::from(*value),
                Some(Field::UShort(value)) => i64::from(*value),
                Some(Field::UInt(value)) => i64::from(*value),
                Some(Field::ULong(value)) if i64::try_from(*value).is_ok() => *value as i64,
                _ => return Err(self.bad(number, &format!("`{name}` is no text and no whole number"))),
            };
            let named = usize::try_from(index).ok().and_then(|index| names.get(index));
            Ok(named.cloned().unwrap_or_else(|| index.to_string()))
        };
        self.kinds.iter().map(label).collect()
    }
}

fn cell<'a>(row: &'a Row, name: &str) -> Option<&'a Field> {
    row.get_column_iter().find_map(|(column, field)| (column == name).then_some(field))
}

/// The encoded image of a cell: bytes, or a group with `bytes` in it.
fn image_bytes(field: &Field) -> Option<&[u8]> {
    match field {
        Field::Bytes(bytes) => Some(bytes.data()),
        Field::Group(group) => image_bytes(cell(group, "bytes")?),
        _ => None,
    }
}

/// Whether a column holds encoded images: bytes that are no text, or a group with such `bytes`.
fn holds_images(field: &Type) -> bool {
    if field.is_primitive() {
        let is_text = field.get_basic_info().converted_type() != ConvertedType::NONE
            || field.get_basic_info().logical_type_ref().is_some();
        return field.get_physical_type() == Physical::BYTE_ARRAY && !is_text;
    }
    field
        .get_fields()
        .iter()
        .any(|inner| inner.name() == "bytes" && inner.is_primitive() && holds_images(inner))
}

/// The names of labels that are numbers, by column, from what the `datasets` library writes beside the schema.
fn class_names(json: &str) -> Option<BTreeMap<String, Vec<String>>> {
    let info: Value = serde_json::from_str(json).ok()?;
    let features = info.get("info")?.get("features")?.as_object()?;
    let names = |feature: &Value| -> Option<Vec<String>> {
        feature.get("names")?.as_array()?.iter().map(|name| Some(name.as_str()?.to_owned())).collect()
    };
    Some(features.iter().filter_map(|(column, feature)| Some((column.clone(), names(feature)?))).collect())
}
