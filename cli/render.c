/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/render.h"

#include "base/mem.h"
#include "base/timeutil.h"
#include "cli/output.h"

#define CELL_MAX_BYTES 65536

/* ---- Cells ---------------------------------------------------------------------------------- */

static void add_scalar(struct buf *out, const json_t *v)
{
	if (json_is_string(v))
		buf_addstr(out, json_string_value(v));
	else if (json_is_integer(v))
		buf_addf(out, "%lld", (long long) json_integer_value(v));
	else if (json_is_boolean(v))
		buf_addstr(out, json_is_true(v) ? "true" : "false");
	else if (json_is_real(v))
		buf_addf(out, "%.3g", json_real_value(v));
}

static void add_list(struct buf *out, const json_t *v)
{
	const json_t *item;
	size_t i;

	json_array_foreach((json_t *) v, i, item)
	{
		const json_t *name = json_is_object(item) ? json_object_get(item, "name") : item;

		if (out->len)
			buf_addstr(out, ", ");
		add_scalar(out, name);
	}
}

static void add_map(struct buf *out, const json_t *v)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *) v, key, value)
	{
		buf_addf(out, "%s%s=", out->len ? ", " : "", key);
		add_scalar(out, value);
	}
}

static void add_replicas(struct buf *out, const json_t *v)
{
	const json_t *s;
	size_t i;

	json_array_foreach((json_t *) v, i, s)
	{
		const char *region = json_str_at(s, "region"), *state = json_str_at(s, "state");

		if (!region || !state)
			continue;
		buf_addf(out, "%s%s", out->len ? ", " : "", region);
		if (strcmp(state, "Replicating") == 0)
			buf_addf(out, " %d%%", (int) json_int_at(s, "progress", 0));
		else if (strcmp(state, "Completed") != 0)
			buf_addf(out, " %s", state);
	}
}

static void add_group(struct buf *out, const char *id)
{
	static const char word[] = "/resourcegroups/";
	auto_free char *lower = id ? str_lower(id) : NULL;
	const char *at = lower ? strstr(lower, word) : NULL;

	if (at) {
		const char *name = id + (at - lower) + strlen(word);

		buf_add(out, name, strcspn(name, "/"));
	}
}

/* The names of an id from the top on, without its types. */
static void add_names(struct buf *out, const char *id)
{
	static const char word[] = "/providers/";
	const char *p = id ? strstr(id, word) : NULL;

	p = p ? strchr(p + strlen(word), '/') : NULL;
	while (p && (p = strchr(p + 1, '/'))) { /* behind the type */
		size_t n = strcspn(p + 1, "/");

		if (out->len)
			buf_addstr(out, "/");
		buf_add(out, p + 1, n);
		p = p[1 + n] ? p + 1 + n : NULL;
	}
}

/* "2026-01-02T03:04:05.678901Z" without its microseconds. */
static void add_time(struct buf *out, const char *iso)
{
	const char *dot = iso ? strchr(iso, '.') : NULL;

	if (!iso)
		return;
	buf_add(out, iso, dot ? (size_t) (dot - iso) : strlen(iso));
	if (dot)
		buf_addstr(out, dot + 1 + strspn(dot + 1, "0123456789"));
}

static char *cell(const json_t *doc, const struct cli_column *c)
{
	const json_t *v = *c->path ? json_at(doc, c->path) : doc;
	auto_buf struct buf out = BUF_INIT(CELL_MAX_BYTES);
	const char *text = json_string_value(v), *slash = text ? strrchr(text, '/') : NULL;
	char size[16];

	switch (c->cell) {
	case CELL_TEXT:
		add_scalar(&out, v);
		break;
	case CELL_SIZE:
		if (json_is_integer(v) && json_integer_value(v) > 0)
			buf_addstr(&out, size_human((uint64_t) json_integer_value(v), size));
		break;
	case CELL_COUNT:
		if (v)
			buf_addf(&out, "%zu",
				 json_is_array(v) ? json_array_size(v) : json_object_size(v));
		break;
	case CELL_LIST:
		add_list(&out, v);
		break;
	case CELL_MAP:
		add_map(&out, v);
		break;
	case CELL_LAST:
		buf_addstr(&out, slash ? slash + 1 : text ? text : "");
		break;
	case CELL_GROUP:
		add_group(&out, text);
		break;
	case CELL_NAMES:
		add_names(&out, text);
		break;
	case CELL_TIME:
		add_time(&out, text);
		break;
	case CELL_REPLICAS:
		add_replicas(&out, v);
		break;
	}
	return buf_take(&out);
}

/* ---- Tables --------------------------------------------------------------------------------- */

static size_t column_count(const struct cli_column *c, bool wide)
{
	size_t n = 0;

	for (; c->head; c++)
		n += wide || !c->wide;
	return n;
}

/* Cells of one row, owned; shorter rows ended by NULL. */
static char **row_cells(const json_t *doc, const struct cli_column *c, bool wide)
{
	char **cells = calloc(column_count(c, wide) + 1, sizeof(*cells));
	size_t n = 0;

	for (; cells && c->head; c++)
		if (wide || !c->wide)
			cells[n++] = cell(doc, c);
	return cells;
}

static void row_free(char **cells, size_t n)
{
	for (size_t i = 0; cells && i < n; i++)
		free(cells[i]);
	free(cells);
}

static int rows_table(struct cli *cli, const json_t *list, const struct cli_column *columns)
{
	size_t n = column_count(columns, false), k = 0, i;
	auto_free const char **heads = calloc(n + 1, sizeof(*heads));
	struct cli_table *t;
	const json_t *doc;

	if (!heads)
		return -ENOMEM;
	for (const struct cli_column *c = columns; c->head; c++)
		if (!c->wide)
			heads[k++] = c->head;
	t = cli_table_new(heads);
	json_array_foreach((json_t *) list, i, doc)
	{
		char **cells = row_cells(doc, columns, false);

		if (cells)
			cli_table_add(t, (const char *const *) cells);
		row_free(cells, n);
	}
	return cli_table_print(cli, t);
}

static int rows_tsv(const json_t *list, const struct cli_column *columns)
{
	size_t n = column_count(columns, false), i;
	const json_t *doc;

	json_array_foreach((json_t *) list, i, doc)
	{
		char **cells = row_cells(doc, columns, false);

		for (size_t k = 0; cells && k < n; k++) {
			const char *text = cells[k] ? cells[k] : "";

			if (k)
				(void) putchar('\t');
			for (; *text; text++) /* one line, one cell */
				(void) putchar(*text == '\t' || *text == '\n' ? ' ' : *text);
		}
		(void) putchar('\n');
		row_free(cells, n);
	}
	return 0;
}

/* "PROVISIONING STATE" as the name of a line. */
static void show_head(const struct cli *cli, const char *head, size_t width)
{
	auto_free char *lower = str_lower(head[0] == '>' ? head + 1 : head);

	(void) printf("%s%-*s%s", cli_sgr(cli, CLI_DIM), (int) width, lower ? lower : head,
		      cli_sgr(cli, CLI_PLAIN));
}

static int show_lines(const struct cli *cli, const json_t *doc, const struct cli_column *columns)
{
	size_t width = 0;

	for (const struct cli_column *c = columns; c->head; c++)
		if (strlen(c->head) + 2 > width)
			width = strlen(c->head) + 2;
	for (const struct cli_column *c = columns; c->head; c++) {
		auto_free char *text = cell(doc, c);

		if (!text || !*text)
			continue;
		show_head(cli, c->head, width);
		cli_print_safe(stdout, text, strlen(text));
		(void) putchar('\n');
	}
	return 0;
}

/* ---- Formats -------------------------------------------------------------------------------- */

enum format { FORMAT_TABLE, FORMAT_JSON, FORMAT_YAML, FORMAT_TSV, FORMAT_NONE };

static enum format format_of(const struct cli *cli, const struct cli_args *args)
{
	static const char *const names[] = {"table", "json", "yaml", "tsv"};
	const char *given = cli_opt(args, "--output");

	if (!given)
		return cli->json ? FORMAT_JSON : FORMAT_TABLE;
	for (enum format f = FORMAT_TABLE; f < FORMAT_NONE; f++)
		if (strcmp(names[f], given) == 0)
			return f;
	return FORMAT_NONE;
}

int cli_render_check(struct cli *cli, const struct cli_args *args)
{
	if (format_of(cli, args) == FORMAT_NONE)
		return cli_usage(cli, "--output: '%s' is not one of table, json, yaml, tsv",
				 cli_opt(args, "--output"));
	if (cli_opt(args, "--jq") && cli_opt(args, "--output"))
		return cli_usage(cli, "--jq and --output exclude each other");
	return EXIT_DONE;
}

int cli_render(struct cli *cli, const struct cli_args *args, const json_t *doc,
	       const struct cli_column *columns)
{
	const char *filter = cli_opt(args, "--jq");
	auto_err struct err e = ERR_INIT;
	auto_json json_t *one = NULL;
	int r;

	if (!doc)
		return EXIT_DONE;
	if (filter)
		return jq_print(doc, filter, &e) < 0 ? cli_fail(cli, &e) : EXIT_DONE;
	switch (format_of(cli, args)) {
	case FORMAT_JSON:
		r = cli_print_json(doc);
		break;
	case FORMAT_YAML:
		r = yaml_print(doc);
		break;
	case FORMAT_TSV:
		one = json_is_array(doc) ? json_incref((json_t *) doc) : json_pack("[O]", doc);
		r = one ? rows_tsv(one, columns) : -ENOMEM;
		break;
	default:
		r = json_is_array(doc) ? rows_table(cli, doc, columns)
				       : show_lines(cli, doc, columns);
	}
	return r < 0 ? EXIT_FAILED : EXIT_DONE;
}
