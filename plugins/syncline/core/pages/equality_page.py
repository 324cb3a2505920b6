"""The page docs/equality.md: what is equal without a word, and what a mapping may say, from the models that read it."""

from __future__ import annotations

from syncline.core.equal_words import TAKES
from syncline.core.equality import ALWAYS
from syncline.core.pages.schemas import schemas

PAGE = """\
# When two values are equal

<!-- Made by `syncline generate` from plugins/syncline/core/equal_words.py and equality.py; change those. -->

A comparison of records (`syncline diff`, control SYNC-008) calls a record different when one of its mapped fields is;
columns that no field fills are not compared. Whether two values of a field are one value is decided by its type, and by
what the field says under `equal`:

```yaml
full_name: {{from: name, type: text, pii: name, equal: {{ignore: [case, whitespace, normalization]}}}}
country: {{from: country, type: text, equal: {{codes: [[GB, UK, GBR]], code_list: iso_3166_alpha_3}}}}
salary: {{from: salary, type: "numeric(12,2)", equal: {{within: 0.01}}}}
changed_at: {{from: updated_at, type: timestamptz, equal: {{second_digits: 3}}}}
```

**What is written does not depend on it.** The loader goes on writing every value that is not the same to it; `equal`
says what a comparison does not complain of. What shall not be written either is a matter of `steps`.

## Without a word

Equal is what the loader calls unchanged, whatever type the copy's column has (a wider number, a domain, an enumeration,
`char(n)`, `citext`). NULL equals NULL alone.

| type | equal |
|---|---|
{always}
| all others | the values that PostgreSQL calls equal |

## What a field may say

| word | for | meaning | example |
|---|---|---|---|
{words}

- A word that says nothing about the field's type, or that another one makes idle, is a mistake (M20 in
  [errors.md](errors.md)). A field of the target's key may say none: records are paired by their keys as they are.
- Case is folded as Unicode does it (Latin, Greek, Cyrillic, Armenian, Georgian; ß is ss), whatever the locale of a
  database. In a database whose encoding is not UTF-8 only a to z are folded and nothing is normalised.
- `codes` and `code_list` may stand together, and groups with a common value are one group; with `ignore` the codes are
  compared without the same differences. A list that several codes lead to one counterpart calls those codes equal:
  `iso_4217_minor_units` would make one currency of all that have two decimals. Lists with periods are refused.
- `alike` is the similarity of PostgreSQL's `pg_trgm`, computed without the extension: `Katherine Johnson` and
  `Katharine Johnson` are alike by 0.71. Look at what it excuses before you trust it with a critical field.
- `is_json`: a text that is no JSON, or that `jsonb` cannot hold, is compared letter by letter; nothing fails.
- Of a tolerance the limit itself is allowed. NaN and infinity are equal to themselves alone.

## How it is compared

Both servers hash a spelling of each value that is the same for equal values: a number without trailing zeros, a text in
the form that `ignore` leaves, a tolerance by the bucket in which the value lies. Equal spellings are
equal values. Where spellings differ, both versions of the record meet in one server, which judges them exactly.

A column under a collation that calls 'a' and 'A' one letter is judged by that collation, as the loader's statement is;
the checksum knows letters only, so say `ignore: [case]` there and a comparison of checksums alone agrees.
"""


def equality_page() -> str:
    """The page's text."""
    fields = schemas()["mapping"]["properties"]["fields"]["additionalProperties"]["properties"]
    said = fields["equal"]["properties"]
    words = "\n".join(
        f"| `{word}` | {', '.join(TAKES[word])} | {schema['description']} | `{_example(schema['examples'][0])}` |"
        for word, schema in said.items()
    )
    always = "\n".join(f"| {family} | {sentence} |" for family, sentence in ALWAYS.items())
    return PAGE.format(always=always, words=words)


def _example(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value).replace("'", "")
