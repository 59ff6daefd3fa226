// SPDX-License-Identifier: Apache-2.0
// Turns published OpenAPI files into the facts that the checker needs: node make_facts.mjs DIR [OUT].
// DIR holds the specifications in their published layout, and may hold "derived" (operations and
// models of newer api-versions, read out of a client). The tests never run this; they read OUT
// (facts/ beside this file), where one file is one api-version of one area:
//
//   operations  NAME: {method, path, query, body, status: {CODE: model or null}, lro, examples}
//   models      NAME: {field: rule}
//
// A rule is one string: "*" required, "-" read-only, then the type: string, string/date-time,
// integer, number, boolean, any, object, "=a|b" (one of these), "@Model", "[rule]" (array),
// "{rule}" (map). A model with "?" is told apart by that field: {"?": "type", "Shell": "@Model"}.
// Examples keep what an example sets, not its words: null stands for a value to be chosen.
import fs from 'node:fs';
import path from 'node:path';
import {fileURLToPath} from 'node:url';

const areas = [
	['gallery', /GalleryRP\/stable\/([^/]+)\/(gallery|sharedGallery|communityGallery)\.json$/],
	['images', /ComputeRP\/stable\/([^/]+)\/(image|virtualMachineImage)\.json$/],
	['disks', /DiskRP\/stable\/([^/]+)\/(disk|snapshot)\.json$/],
	['skus', /Skus\/stable\/([^/]+)\/skus\.json$/],
	['imagebuilder', /VirtualMachineImages\/stable\/([^/]+)\/imagebuilder\.json$/],
	['authorization', /Authorization\/stable\/([^/]+)\/authorization-Role(Assignments|Definitions)Calls\.json$/],
	['resources', /Microsoft\.Resources\/stable\/([^/]+)\/resources\.json$/],
	['subscriptions', /Microsoft\.Resources\/stable\/([^/]+)\/subscriptions\.json$/],
];
// Deployments have a language of their own behind them.
const skipped = /^Deployments|^DeploymentOperations/;

const [dir, out = path.join(path.dirname(fileURLToPath(import.meta.url)), 'facts')] = process.argv.slice(2);
if (!dir) {
	console.error('usage: node make_facts.mjs SPECIFICATIONS [OUT]');
	process.exit(2);
}

const parsed = new Map();
function load(file) {
	const full = path.resolve(file);
	if (!parsed.has(full))
		parsed.set(full, JSON.parse(fs.readFileSync(full, 'utf8')));
	return parsed.get(full);
}
// A value and the file it stands in, references followed.
function follow(value, file) {
	while (value && value.$ref) {
		const [to, pointer] = value.$ref.split('#');
		file = to ? path.resolve(path.dirname(file), to) : file;
		value = (pointer ?? '').split('/').filter(Boolean)
			.reduce((v, k) => v[k.replaceAll('~1', '/').replaceAll('~0', '~')], load(file));
	}
	return [value, file];
}
function* walk(d) {
	for (const e of fs.readdirSync(d, {withFileTypes: true}).sort((a, b) => (a.name < b.name ? -1 : 1))) {
		const p = path.join(d, e.name);
		if (e.isDirectory())
			yield* walk(p);
		else if (e.name.endsWith('.json'))
			yield p;
	}
}

// ---- OpenAPI -------------------------------------------------------------------------------

class Area {
	constructor(name, version) {
		this.name = name;
		this.version = version;
		this.operations = {};
		this.models = {};
	}

	// The name under which the schema at a reference is kept; makes its model.
	model(ref, file) {
		const name = ref.split('/').pop();
		if (!(name in this.models)) {
			this.models[name] = {};
			const [schema, where] = follow({$ref: ref}, file);
			this.models[name] = this.fields(schema, where, name);
		}
		return name;
	}

	fields(schema, file, name) {
		const ret = {};
		for (const part of schema.allOf ?? []) {
			const [s, f] = follow(part, file);
			for (const [k, v] of Object.entries(this.fields(s, f)))
				if (k !== '?' && (typeof v === 'string') && !(ret['?cases'] ?? []).includes(k))
					ret[k] = v;
		}
		for (const [k, v] of Object.entries(schema.properties ?? {})) {
			const rule = this.rule(v, file);
			ret[k] = (v.readOnly || rule.startsWith('-') ? '-' : '') + rule.replace(/^-/, '');
		}
		for (const k of schema.required ?? [])
			if (ret[k] && !ret[k].includes('*'))
				ret[k] = '*' + ret[k];
		if (schema.discriminator && name)
			return {...ret, '?': schema.discriminator, ...this.cases(file, name)};
		return ret;
	}

	// The schemas of the same file that build on @name, by the discriminator's value.
	cases(file, name) {
		const ret = {};
		for (const [k, v] of Object.entries(load(file).definitions ?? {}))
			if ((v.allOf ?? []).some(a => a.$ref === `#/definitions/${name}`)) {
				const value = v['x-ms-discriminator-value'] ?? k;
				ret[`?${value}`] = '@' + this.model(`#/definitions/${k}`, file);
			}
		return ret;
	}

	rule(v, file) {
		if (v.$ref) {
			const [s, f] = follow(v, file);
			const ro = s.readOnly ? '-' : '';
			if (s.properties || s.allOf || s.discriminator)
				return ro + '@' + this.model(v.$ref, file);
			return ro + this.rule(s, f);
		}
		if (v.allOf?.length === 1 && !v.properties)
			return this.rule(v.allOf[0], file);
		if (v.enum)
			return '=' + v.enum.join('|');
		if (v.type === 'array')
			return `[${this.rule(v.items, file)}]`;
		if (v.additionalProperties && typeof v.additionalProperties === 'object')
			return `{${this.rule(v.additionalProperties, file)}}`;
		if (v.properties)
			return '@' + this.inline(v, file);
		if (v.type === 'string' && ['date-time', 'uuid', 'duration'].includes(v.format))
			return `string/${v.format}`;
		return v.type ?? 'any';
	}

	inline(v, file) {
		const fields = this.fields(v, file);
		const name = `Inline${Object.keys(fields).join('_')}`;
		this.models[name] = fields;
		return name;
	}

	operation(p, method, o, file) {
		const params = (o.parameters ?? []).map(x => follow(x, file));
		const body = params.find(([x]) => x.in === 'body');
		const op = {method: method.toUpperCase(), path: p.replace(/\/$/, '')};
		const query = params.filter(([x]) => x.in === 'query' && x.name !== 'api-version').map(([x]) => x.name);
		if (query.length)
			op.query = query;
		if (body)
			op.body = this.rule(body[0].schema, body[1]);
		op.status = {};
		for (const [code, r] of Object.entries(o.responses)) {
			const [response, f] = follow(r, file);
			if (code !== 'default')
				op.status[code] = response.schema ? this.rule(response.schema, f) : null;
		}
		if (o['x-ms-long-running-operation'])
			op.lro = o['x-ms-long-running-operation-options']?.['final-state-via'] ?? true;
		for (const e of Object.values(o['x-ms-examples'] ?? {})) {
			const [example, f] = follow(e, file);
			const given = body && example.parameters[body[0].name];
			if (given === undefined)
				continue;
			op.examples ??= {};
			op.examples[path.basename(e.$ref ?? f, '.json')] = this.outline(given, op.body);
		}
		this.operations[o.operationId] = op;
	}

	// What an example sets: enumerated words and booleans stay, the rest is for the checker to choose.
	outline(v, rule) {
		if (rule?.startsWith('*') || rule?.startsWith('-'))
			return this.outline(v, rule.slice(1));
		if (Array.isArray(v))
			return v.map(x => this.outline(x, rule?.startsWith('[') ? rule.slice(1, -1) : undefined));
		if (v && typeof v === 'object') {
			let model = rule?.startsWith('@') ? this.models[rule.slice(1)] : undefined;
			if (model?.['?'])
				model = {...this.models[model[`?${v[model['?']]}`]?.slice(1)], '?': model['?']};
			const each = rule?.startsWith('{') ? rule.slice(1, -1) : undefined;
			return Object.fromEntries(Object.entries(v).map(([k, x], i) =>
				[rule?.startsWith('{') ? `key${i}` : k, this.outline(x, model?.['?'] === k ? '=' : model?.[k] ?? each)]));
		}
		const tag = typeof v === 'string' && rule?.startsWith('=');
		return typeof v === 'boolean' || tag ? v : null;
	}
}

function published() {
	const ret = new Map();
	for (const file of walk(dir)) {
		const hit = areas.map(([name, re]) => [name, re.exec(file)]).find(([, m]) => m);
		if (!hit || file.includes('/examples/'))
			continue;
		const [name, m] = hit;
		const key = `${name}-${m[1]}`;
		if (!ret.has(key))
			ret.set(key, new Area(name, m[1]));
		const area = ret.get(key), doc = load(file);
		for (const paths of [doc.paths, doc['x-ms-paths'] ?? {}])
			for (const [p, item] of Object.entries(paths))
				for (const [method, o] of Object.entries(item))
					if (o.operationId && !skipped.test(o.operationId))
						area.operation(p, method, o, file);
	}
	return ret;
}

// ---- Tables read out of a client ---------------------------------------------------------------

const derivedAreas = [
	['gallery', 'gallery-2025-12-03-models.json', 'arm-compute-25.1.1-operations.json', '2025-12-03'],
	['imagebuilder', 'imagebuilder-2025-10-01-models.json', 'arm-imagebuilder-5.0.0-operations.json', '2025-10-01'],
];
function derivedRule(type, doc) {
	const array = /^(.*)\[\]$/.exec(type), map = /^Record<string, (.*)>$/.exec(type);
	if (array)
		return `[${derivedRule(array[1], doc)}]`;
	if (map)
		return `{${derivedRule(map[1], doc)}}`;
	if (type.startsWith('"'))
		return `=${type.slice(1, -1)}`;
	if (type in doc.enums)
		return `=${doc.enums[type].join('|')}`;
	const plain = {string: 'string', number: 'number', boolean: 'boolean', Date: 'string/date-time', any: 'any'}[type];
	const model = type.replace(/Union$/, '');
	return plain ?? (model in doc.models ? `@${model}` : 'any');
}
// Bases that the client takes from elsewhere: what every resource has.
const resource = {id: '-string', name: '-string', type: '-string', systemData: '-any'};
const bases = {
	Resource: resource, ProxyResource: resource, UpdateResourceDefinition: {...resource, tags: '{string}'},
	TrackedResource: {...resource, location: '*string', tags: '{string}'},
};
function derivedFields(name, doc) {
	const m = doc.models[name];
	if (!m)
		return {...bases[name]};
	const ret = m.extends ? derivedFields(m.extends, doc) : {};
	for (const [k, f] of Object.entries(m.fields))
		ret[k] = (f.required ? '*' : '') + (f.readOnly ? '-' : '') + derivedRule(f.type, doc);
	return ret;
}
// The client lifts the members of XProperties; on the wire they stand under "properties".
function nested(name, doc) {
	const fields = derivedFields(name, doc);
	const inner = [`${name}Properties`, `${name}UpdateParametersProperties`].find(n => n in doc.models);
	if (!inner || 'properties' in fields || !(doc.models[name].extends ?? '').match(/Resource|UpdateResourceDefinition/))
		return fields;
	for (const k of Object.keys(derivedFields(inner, doc)))
		delete fields[k];
	if ('uniqueId' in fields) { // likewise the one member of "identifier"
		delete fields.uniqueId;
		fields.identifier = '@Identifier';
	}
	return {...fields, properties: `@${inner}`};
}
function discriminated(area, doc) {
	for (const [name, m] of Object.entries(doc.models))
		for (const tag of ['type', 'kind', 'scheme']) {
			const value = /^\*?=([^|]+)$/.exec(area.models[name][tag] ?? '')?.[1];
			if (value && m.extends in area.models)
				Object.assign(area.models[m.extends], {'?': tag, [`?${value}`]: `@${name}`});
		}
}
function derived(published) {
	for (const [name, modelFile, operationFile, version] of derivedAreas) {
		const base = path.join(dir, 'derived');
		if (!fs.existsSync(path.join(base, modelFile)))
			continue;
		const doc = load(path.join(base, modelFile));
		const area = new Area(name, version);
		const older = [...published.values()].filter(a => a.name === name).pop();
		for (const m of Object.keys(doc.models))
			area.models[m] = nested(m, doc);
		area.models.Identifier = {uniqueId: 'string'};
		discriminated(area, doc);
		for (const o of load(path.join(base, operationFile)))
			if (o.apiVersion === version)
				derivedOperation(area, o, older);
		published.set(`${name}-${version}`, area);
	}
}
// The client's tables do not say which model an operation takes; the published operation of the
// same method and path, of an older version, does.
function derivedOperation(area, o, older) {
	const twin = Object.entries(older.operations)
		.find(([, x]) => x.method === o.method && same(x.path, o.path));
	if (!twin)
		return;
	const [id, t] = twin;
	const known = rule => {
		const list = /^@(.*)(List|ListResult|Collection)$/.exec(rule ?? '');
		if (rule && !(rule.replace(/^@/, '') in area.models) && list)
			return `@_${rule.slice(1)}` in area.models ? `@_${rule.slice(1)}` : rule;
		return rule;
	};
	const op = {...t, path: o.path, status: {}};
	const model = Object.values(t.status).find(Boolean) ?? null;
	for (const code of o.acceptedStatuses)
		op.status[code] = known(t.status[code] ?? (code === '204' ? null : o.method === 'DELETE' ? null : model));
	area.operations[id] = op;
}
const same = (a, b) => a.toLowerCase().replace(/\{[^}]*\}/g, '{}') === b.toLowerCase().replace(/\{[^}]*\}/g, '{}');

// ---- Output ------------------------------------------------------------------------------------

// Only what operations reach.
function prune(area) {
	const used = new Set();
	const visit = rule => {
		for (const [, name] of String(rule ?? '').matchAll(/@([A-Za-z0-9_]+)/g)) {
			if (used.has(name) || !(name in area.models))
				continue;
			used.add(name);
			Object.values(area.models[name]).forEach(visit);
		}
	};
	for (const o of Object.values(area.operations))
		[o.body, ...Object.values(o.status)].forEach(visit);
	area.models = Object.fromEntries(Object.entries(area.models).filter(([k]) => used.has(k)));
}
// A list model that only a client knows by another name: {"value": [...], "nextLink"}.
function lists(area) {
	for (const o of Object.values(area.operations))
		for (const [code, rule] of Object.entries(o.status)) {
			const item = /^@_?(.*?)(List|ListResult|Collection)$/.exec(rule ?? '');
			if (item && !(rule.slice(1) in area.models)) {
				area.models[rule.slice(1)] = {value: `*[@${item[1]}]`, nextLink: 'string'};
			} else if (rule?.startsWith('@') && !(rule.slice(1) in area.models)) {
				console.error(`${area.name} ${area.version}: no model ${rule} for ${code}`);
				o.status[code] = 'any';
			}
		}
}
function write(key, area) {
	const line = ([k, v]) => `\t${JSON.stringify(k)}: ${JSON.stringify(v)}`;
	const block = o => `{\n${Object.entries(o).map(line).join(',\n')}\n}`;
	fs.writeFileSync(path.join(out, `${key}.json`), `{"area": "${area.name}", "version": "${area.version}",\n` +
		`"operations": ${block(area.operations)},\n"models": ${block(area.models)}}\n`);
}

const all = published();
derived(all);
fs.mkdirSync(out, {recursive: true});
for (const [key, area] of all) {
	lists(area);
	prune(area);
	write(key, area);
}
