"""A file in any format to a document: its canonical text with headings, pages and what is excluded.

Finding files and reading them safely:

discovery       the files of a folder that are to be read, and the rules of .qaignore
kinds           what a file is: by its content first, by its name second
registry        the reader of each kind, and reading one file safely
isolation       reading in another process, with limits of time and memory
worker          the process that reads, started by isolation

Formats:

html/           web pages
pdf/            PDF
docx/           Word documents
pptx            slides
xlsx            spreadsheets
odt             OpenDocument text
epub            books
spreadsheet     old Excel workbooks and OpenDocument spreadsheets
rtf             Rich Text Format
mail            mails and mailboxes
notebook        Jupyter notebooks
records         JSON and JSON Lines
subtitles       subtitles, with the times at which words are said
markdown        Markdown
delimited       CSV and TSV
text            plain text
marked_text     reStructuredText, AsciiDoc and Org

What readers share:

decoding        bytes to text: byte order mark, UTF-8, declared and detected encodings
archive         ZIP containers, within limits that no bomb passes
package         parts of an Office file and how they are related
drawings        charts and SmartArt of Office files as tables and lists
symbols         characters of the fonts Symbol and Wingdings
composition     blocks and headings to one text with exact spans
sheets          tables of a sheet: where they begin, what names their columns
tables          rows of cells to lines of text, merged cells included
number_formats  numbers as the cell of a spreadsheet shows them
"""
