// SPDX-License-Identifier: Apache-2.0
// Subscriptions, groups, resources, tags and providers; login.
import {admin, all, assert, clients, credential, fails, group, many, my, scope, send, sub, test} from './lib.mjs';

const {resourceGroups, resources, providers, tagsOperations} = my.resources;

async function subscriptions() {
	const [one] = await all(my.subscriptions.subscriptions.list());
	assert.equal(one.subscriptionId, sub);
	assert.equal(one.state, 'Enabled');
	assert.equal((await my.subscriptions.subscriptions.get(sub)).tenantId, admin.tenantId);
	assert.deepEqual((await all(my.subscriptions.tenants.list())).map(t => t.tenantId), [admin.tenantId]);
	const places = await all(my.subscriptions.subscriptions.listLocations(sub));
	assert.ok(places.some(l => l.name === 'eastus' && l.displayName === 'East US'));
}

async function groups() {
	const name = `${group}-life`;
	const made = await resourceGroups.createOrUpdate(name, {location: 'eastus', tags: {a: 'b'}});
	assert.equal(made.properties.provisioningState, 'Succeeded');
	assert.equal((await resourceGroups.checkExistence(name)).body, true);
	assert.equal((await resourceGroups.checkExistence(`${name}-none`)).body, false);
	assert.deepEqual((await resourceGroups.update(name, {tags: {c: 'd'}})).tags, {c: 'd'});
	assert.deepEqual((await all(resourceGroups.list({filter: "tagName eq 'c' and tagValue eq 'd'"}))).map(g => g.name), [name]);
	await fails(() => resourceGroups.createOrUpdate(name, {location: 'westeurope'}), 409, /^InvalidResource(Group)?Location$/);
	await resourceGroups.beginDeleteAndWait(name);
	await fails(() => resourceGroups.get(name), 404, /^ResourceGroupNotFound$/);
	await fails(() => resourceGroups.beginDeleteAndWait(name), 404, /^ResourceGroupNotFound$/);
}

// A page is as large as asked for; all of them together are everything, once.
async function pages() {
	const n = 1020, name = i => `${group}-p${String(i).padStart(4, '0')}`;
	await many(n, 8, i => resourceGroups.createOrUpdate(name(i), {location: 'eastus'}));
	const seen = [];
	for await (const page of resourceGroups.list({top: 200}).byPage()) {
		assert.ok(page.length <= 200, `a page of ${page.length}`);
		seen.push(...page.map(g => g.name).filter(g => g.startsWith(`${group}-p`)));
	}
	assert.deepEqual(seen, Array.from({length: n}, (_, i) => name(i)));
	await many(n, 8, i => send('DELETE', `/subscriptions/${sub}/resourceGroups/${name(i)}?api-version=2021-04-01`));
}

async function generic() {
	const id = `${scope}/providers/Microsoft.Compute/galleries/npmgeneric`;
	const made = await resources.beginCreateOrUpdateByIdAndWait(id, '2023-07-03', {location: 'eastus', tags: {kind: 'generic'}});
	assert.equal(made.name, 'npmgeneric');
	assert.equal((await resources.getById(id, '2023-07-03')).properties.provisioningState, 'Succeeded');
	assert.equal((await resources.checkExistenceById(id, '2023-07-03')).body, true);
	assert.deepEqual((await all(resources.listByResourceGroup(group, {filter: "tagName eq 'kind' and tagValue eq 'generic'"}))).map(r => r.name), ['npmgeneric']);
	assert.ok((await all(resources.list({filter: "resourceType eq 'Microsoft.Compute/galleries'"}))).some(r => r.id === id));
	const tags = await tagsOperations.beginUpdateAtScopeAndWait?.(id, {operation: 'Merge', properties: {tags: {more: 'yes'}}}) ??
		await tagsOperations.updateAtScope(id, {operation: 'Merge', properties: {tags: {more: 'yes'}}});
	assert.deepEqual(tags.properties.tags, {kind: 'generic', more: 'yes'});
	assert.deepEqual((await tagsOperations.getAtScope(id)).properties.tags, {kind: 'generic', more: 'yes'});
	await resources.beginDeleteByIdAndWait(id, '2023-07-03');
	assert.equal((await resources.checkExistenceById(id, '2023-07-03')).body, false);
}

async function namespaces() {
	const p = await providers.get('Microsoft.VirtualMachineImages');
	assert.equal(p.registrationState, 'Registered');
	assert.ok(p.resourceTypes.find(t => t.resourceType === 'imageTemplates').apiVersions.includes('2022-02-14'));
	assert.ok((await all(providers.list())).length > 2);
}

async function wrongSecret() {
	const c = clients(credential(admin.clientId, 'wrong'));
	await assert.rejects(c.resources.resourceGroups.get(group), e => {
		assert.match(e.name, /^Authentication(Required)?Error$/);
		assert.match(e.message, /AADSTS7000215/);
		return true;
	});
}

async function forgedToken() {
	const r = await fetch(`${admin.endpoint}${scope}?api-version=2021-04-01`, {headers: {authorization: 'Bearer e30.e30.'}});
	assert.equal(r.status, 401);
	assert.match(r.headers.get('www-authenticate'), /authorization_uri=/);
	assert.ok((await r.json()).error.code);
}

export default async function run() {
	await test('subscriptions, tenants, locations', subscriptions);
	await test('resource group: life cycle', groups);
	await test('1,020 groups come in pages of 200', pages);
	await test('resources by id, tags, filters', generic);
	await test('providers', namespaces);
	await test('a wrong secret', wrongSecret);
	await test('a forged token', forgedToken);
}
