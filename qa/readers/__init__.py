"""A file in any format to a document: its canonical text with headings, pages and what is excluded.

Finding files and reading them safely:

discovery       the files of a folder that are to be read, and the rules of .qaignore
kinds           what a file is: by its content first, by its name second
registry        the reader of each kind, and reading one file safely
isolation       reading in another process, with limits of time and memory
worker          the process that reads, started by isolation
frames          what such a process and the one that started it exchange
confinement     the bounds that such a process sets itself
pictures/       a page drawn, with the place of each character of its text

Formats:

html/           web pages
pdf/            PDF
images          PNG, JPEG and TIFF: images of pages
recognition/    the text of images of pages, by OCR
docx/           Word documents
pptx            slides
xlsx            spreadsheets
sheets          CSV, TSV, old Excel workbooks; the tables of a sheet and their columns
odt             OpenDocument text
ods             OpenDocument spreadsheets
epub            books
mail            mails and mailboxes, and what is attached to them
corpus          a corpus in BEIR's format, a document a line
records         JSON and JSON Lines as records; Jupyter notebooks
xml_records     XML and feeds as records
code            source code and settings, with the names of what they define as headings
markdown        Markdown
text            plain text, marked headings (reStructuredText, AsciiDoc, Org), subtitles, Rich Text Format

What readers share:

plain_headings  headings of a plain text, as its layout shows them
decoding        bytes to text: byte order mark, UTF-8, declared and detected encodings
archive         ZIP containers, within limits that no bomb passes, and the parts of an Office file within
attachments     names of what is within a file: attached to mails, lines of a corpus
composition     blocks and headings to one text with exact spans
metadata        what files say of themselves: authors, dates, senders, sheets
tables          rows of cells to lines of text, merged cells included; charts and SmartArt as tables and lists
number_formats  numbers as the cell of a spreadsheet shows them
"""
