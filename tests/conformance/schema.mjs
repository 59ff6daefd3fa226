// SPDX-License-Identifier: Apache-2.0
// A value against a rule of facts/ (make_facts.mjs says how rules are written).

const plain = {
	string: v => typeof v === 'string',
	integer: v => Number.isInteger(v),
	number: v => typeof v === 'number',
	boolean: v => typeof v === 'boolean',
	object: v => v !== null && typeof v === 'object' && !Array.isArray(v),
	any: () => true,
	'string/date-time': v => typeof v === 'string' &&
		/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/.test(v) && !Number.isNaN(Date.parse(v)),
	'string/uuid': v => typeof v === 'string' && /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(v),
	'string/duration': v => typeof v === 'string' && /^P(?=.)(\d+D)?(T(\d+H)?(\d+M)?(\d+(\.\d+)?S)?)?$/.test(v),
};

const kind = v => (v === null ? 'null' : Array.isArray(v) ? 'array' : typeof v);

/**
 * Findings about @v: [{path, problem}]. @models: of the facts. A field that the model lacks, and a
 * required one that is absent, are findings unless @known("additions" or "absent", model, field).
 */
export function validate(v, rule, models, known = () => false, path = '') {
	const found = [];
	check(v, rule, path);
	return found;

	function bad(p, problem) {
		found.push({path: p || '(body)', problem});
	}
	function check(x, r, p) {
		r = r.replace(/^[*-]+/, '');
		if (r.startsWith('@'))
			return object(x, r.slice(1), p);
		if (r.startsWith('=')) {
			if (!r.slice(1).split('|').includes(x))
				bad(p, `${JSON.stringify(x)} is none of ${r.slice(1)}`);
		} else if (r.startsWith('[')) {
			if (!Array.isArray(x))
				return bad(p, `${kind(x)} where an array belongs`);
			x.forEach((e, i) => check(e, r.slice(1, -1), `${p}[${i}]`));
		} else if (r.startsWith('{')) {
			if (!plain.object(x))
				return bad(p, `${kind(x)} where a map belongs`);
			for (const [k, e] of Object.entries(x))
				check(e, r.slice(1, -1), `${p}.${k}`);
		} else if (!plain[r](x)) {
			bad(p, `${JSON.stringify(x)} is no ${r}`);
		}
	}
	function object(x, name, p) {
		let model = models[name];
		if (!plain.object(x))
			return bad(p, `${kind(x)} where ${name} belongs`);
		if (model['?']) {
			const tag = x[model['?']], to = model[`?${tag}`];
			if (to)
				[name, model] = [to.slice(1), models[to.slice(1)]];
			else
				bad(`${p}.${model['?']}`, `${JSON.stringify(tag)} names no kind of ${name}`);
		}
		for (const [k, r] of Object.entries(model))
			if (!k.startsWith('?') && /^-?\*/.test(r) && x[k] === undefined && !known('absent', name, k))
				bad(`${p}.${k}`, 'required, but absent');
		for (const [k, e] of Object.entries(x)) {
			if (k in model && !k.startsWith('?'))
				check(e, model[k], p ? `${p}.${k}` : k);
			else if (!known('additions', name, k))
				bad(p ? `${p}.${k}` : k, `${name} has no such field`);
		}
	}
}
