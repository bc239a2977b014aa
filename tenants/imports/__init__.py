"""Import and export of what this installation routes: rows as values, compared before they change.

    file → reading.read → Row, Refused → plan → items of a job → check (dry run) → apply

The core has no Django: `rows` (what can be said, and how columns are called), `values` (kinds of
value), the formats (`csv_rows`, `json_rows`, `postfix_maps`), `plan` (order, repetitions) and
`diff` (what differs). The rest meets the models: `stored` reads what is there as rows, `writing`
writes one row through tenants.changes, `exporting` hands rows out and notes it. The job that
checks rows, takes the good ones and takes them back is tenants/jobs/importing.py.

How another source joins: it yields `Row`s (`make_row(number, Kind.ALIAS, {"address": …,
"targets": [...]}, tenant="external-id")`, or `Refused` with the reason for what it cannot say) and
hands them to `tenants.jobs.importing.draft(rows, …)`: the page of that job shows every difference.
Fields that a row does not name stay as they are here; so a source says no more than it knows. Rows
are told apart by what they are about: the address, the domain's name, a tenant's external id. The
same source twice is therefore "unchanged".

Not django-import-export, by its documentation: it reads a whole file into one table in memory, one
model at a time, where a row here is an address with targets and rules, in need of other rows of
the file; what its preview refuses stops the confirmation of all the rest; and it saves by itself,
in the request, where every write here goes through tenants.changes in chunks of a job.
"""
