// SPDX-License-Identifier: Apache-2.0
// Galleries, definitions, versions, sharing: full life cycles with @azure/arm-compute.
import {all, assert, fails, golden, group, many, my, resume, scope, send, sub, test} from './lib.mjs';

const {galleries, galleryImages, galleryImageVersions, gallerySharingProfile} = my.compute;
const definition = (sku, more = {}) => ({
	location: 'eastus', osType: 'Linux', osState: 'Generalized', hyperVGeneration: 'V2',
	identifier: {publisher: 'npm', offer: 'debian', sku}, ...more,
});
const regions = names => names.map(name => ({name, regionalReplicaCount: 1}));
const plain = s => s.toLowerCase().replaceAll(' ', '');

async function lifeOfAGallery() {
	const made = await galleries.beginCreateOrUpdateAndWait(group, 'npmlife', {location: 'eastus', description: 'first', tags: {a: 'b'}});
	assert.equal(made.provisioningState, 'Succeeded');
	assert.equal(made.identifier.uniqueName, `${sub}-NPMLIFE`);
	assert.equal((await galleries.get(group, 'NPMLIFE')).name, 'npmlife');
	const changed = await galleries.beginUpdateAndWait(group, 'npmlife', {description: 'second', tags: {c: 'd'}});
	assert.equal(changed.description, 'second');
	assert.deepEqual(changed.tags, {c: 'd'});
	assert.ok((await all(galleries.list())).some(g => g.name === 'npmlife'));
	assert.ok((await all(galleries.listByResourceGroup(group))).some(g => g.name === 'npmlife'));
	await galleries.beginDeleteAndWait(group, 'npmlife');
	await fails(() => galleries.get(group, 'npmlife'), 404, /^ResourceNotFound$/);
	await galleries.beginDeleteAndWait(group, 'npmlife'); // nothing there: as good
}

async function lifeOfAVersion() {
	await galleries.beginCreateOrUpdateAndWait(group, 'npmgal', {location: 'eastus'});
	const d = await galleryImages.beginCreateOrUpdateAndWait(group, 'npmgal', 'linux',
		definition('linux', {recommended: {memory: {min: 1, max: 64}}, endOfLifeDate: new Date('2040-01-02T03:04:05Z')}));
	assert.equal(d.endOfLifeDate.toISOString(), '2040-01-02T03:04:05.000Z');
	assert.equal(d.recommended.memory.max, 64);
	const v = await galleryImageVersions.beginCreateOrUpdateAndWait(group, 'npmgal', 'linux', '1.0.0', {
		location: 'eastus', storageProfile: {source: {id: golden}}, publishingProfile: {targetRegions: regions(['eastus'])}});
	assert.equal(v.provisioningState, 'Succeeded');
	assert.ok(v.publishingProfile.publishedDate instanceof Date);
	assert.ok(v.storageProfile.osDiskImage.sizeInGB > 0);
	const more = await galleryImageVersions.beginCreateOrUpdateAndWait(group, 'npmgal', 'linux', '1.0.0', {
		location: 'eastus', storageProfile: {source: {id: golden}}, publishingProfile: {targetRegions: regions(['eastus', 'westeurope'])}});
	assert.deepEqual(more.publishingProfile.targetRegions.map(r => plain(r.name)), ['eastus', 'westeurope']);
	const seen = await galleryImageVersions.get(group, 'npmgal', 'linux', '1.0.0', {expand: 'ReplicationStatus'});
	assert.equal(seen.replicationStatus.aggregatedState, 'Completed');
	assert.deepEqual(seen.replicationStatus.summary.map(s => [plain(s.region), s.state, s.progress]),
		[['eastus', 'Completed', 100], ['westeurope', 'Completed', 100]]);
	const patched = await galleryImageVersions.beginUpdateAndWait(group, 'npmgal', 'linux', '1.0.0',
		{publishingProfile: {excludeFromLatest: true, targetRegions: regions(['eastus', 'westeurope'])}});
	assert.equal(patched.publishingProfile.excludeFromLatest, true);
	await fails(() => galleryImageVersions.beginUpdateAndWait(group, 'npmgal', 'linux', '1.0.0',
		{publishingProfile: {targetRegions: regions(['eastus'])}}), 409, /^OperationNotAllowed$/); // a replica would go
	await fails(() => galleryImages.beginDeleteAndWait(group, 'npmgal', 'linux'), 409, /^CannotDeleteResource$/);
	for (const n of ['1.9.0', '1.10.0', '1.2.0'])
		await galleryImageVersions.beginCreateOrUpdateAndWait(group, 'npmgal', 'linux', n, {
			location: 'eastus', storageProfile: {source: {id: golden}}, publishingProfile: {targetRegions: regions(['eastus'])}});
	assert.deepEqual((await all(galleryImageVersions.listByGalleryImage(group, 'npmgal', 'linux'))).map(x => x.name),
		['1.0.0', '1.2.0', '1.9.0', '1.10.0']);
	await Promise.all(['1.0.0', '1.2.0', '1.9.0', '1.10.0'].map(n => galleryImageVersions.beginDeleteAndWait(group, 'npmgal', 'linux', n)));
	assert.deepEqual(await all(galleryImageVersions.listByGalleryImage(group, 'npmgal', 'linux')), []);
	await galleryImages.beginDeleteAndWait(group, 'npmgal', 'linux');
}

async function pollers() {
	const state = [];
	const poller = await galleries.beginCreateOrUpdate(group, 'npmpoll', {location: 'eastus'});
	poller.onProgress?.(s => state.push(s.status));
	const written = poller.serialize ? await poller.serialize() : poller.toString();
	const other = resume(my.compute, written, galleries.createOrUpdate,
		o => galleries.beginCreateOrUpdate(group, 'npmpoll', {location: 'eastus'}, o));
	const [one, two] = await Promise.all([poller.pollUntilDone(), other]);
	assert.equal(one.provisioningState, 'Succeeded');
	assert.equal(two.id, one.id);
	assert.ok(poller.isDone === true || poller.isDone());
	const gone = await galleries.beginDelete(group, 'npmpoll');
	while (!(gone.isDone === true || gone.isDone?.()))
		await gone.poll();
	await fails(() => galleries.get(group, 'npmpoll'), 404, /^ResourceNotFound$/);
}

async function aborted() {
	const stop = new AbortController();
	stop.abort();
	await assert.rejects(galleries.get(group, 'npmgal', {abortSignal: stop.signal}), {name: 'AbortError'});
}

async function typedErrors() {
	await fails(() => galleries.get(group, 'none'), 404, /^ResourceNotFound$/);
	await fails(() => galleries.get('no-group', 'none'), 404, /^ResourceGroupNotFound$/);
	await fails(() => galleries.beginCreateOrUpdateAndWait(group, 'no-dash', {location: 'eastus'}), 400, /./);
	const region = await fails(() => galleries.beginCreateOrUpdateAndWait(group, 'npmmoon', {location: 'moon'}), 400, /./);
	assert.match(region.message, /location|moon/i);
	await fails(() => galleryImages.beginCreateOrUpdateAndWait(group, 'none', 'linux', definition('x')), 404, /^ParentResourceNotFound$/);
	await galleries.beginCreateOrUpdateAndWait(group, 'npmerr', {location: 'eastus'});
	await galleryImages.beginCreateOrUpdateAndWait(group, 'npmerr', 'linux', definition('err'));
	const e = await fails(() => galleryImages.beginCreateOrUpdateAndWait(group, 'npmerr', 'linux', definition('err', {osType: 'Windows'})),
		409, /^PropertyChangeNotAllowed$/);
	assert.match(e.message, /osType/);
	await fails(() => galleryImageVersions.beginCreateOrUpdateAndWait(group, 'npmerr', 'linux', '1.0', {
		location: 'eastus', storageProfile: {source: {id: golden}}}), 400, /./);
	await fails(() => galleryImageVersions.beginCreateOrUpdateAndWait(group, 'npmerr', 'linux', '1.0.0', {
		location: 'eastus', storageProfile: {source: {id: `${golden}9`}}}), 404, /./);
	await galleryImages.beginDeleteAndWait(group, 'npmerr', 'linux');
}

async function etags() {
	const url = `${scope}/providers/Microsoft.Compute/galleries/npmetag?api-version=2023-07-03`;
	await galleries.beginCreateOrUpdateAndWait(group, 'npmetag', {location: 'eastus', tags: {n: '1'}});
	const etag = (await send('GET', url)).headers.get('etag');
	assert.ok(etag);
	assert.equal((await send('PUT', url, {location: 'eastus'}, {'if-none-match': '*'})).status, 412);
	assert.equal((await send('PATCH', url, {tags: {n: '2'}}, {'if-match': etag})).ok, true);
	await (await galleries.beginCreateOrUpdate(group, 'npmetag', {location: 'eastus', tags: {n: '3'}}).catch(() => null))?.pollUntilDone();
	const stale = await send('PATCH', url, {tags: {n: '4'}}, {'if-match': etag});
	assert.equal(stale.status, 412);
	assert.equal((await stale.json()).error.code, 'PreconditionFailed');
}

// More than a page: the client follows nextLink.
async function paging() {
	const n = 1050, name = i => `d${String(i).padStart(4, '0')}`;
	await galleries.beginCreateOrUpdateAndWait(group, 'npmpages', {location: 'eastus'});
	await many(n, 8, async i => {
		const r = await send('PUT', `${scope}/providers/Microsoft.Compute/galleries/npmpages/images/${name(i)}?api-version=2023-07-03`,
			{location: 'eastus', properties: {osType: 'Linux', osState: 'Generalized', identifier: {publisher: 'npm', offer: 'pages', sku: name(i)}}});
		assert.ok(r.ok, `${name(i)}: ${r.status} ${await r.text()}`);
	});
	const sizes = [], names = [];
	for await (const page of galleryImages.listByGallery(group, 'npmpages').byPage()) {
		sizes.push(page.length);
		names.push(...page.map(d => d.name));
	}
	assert.ok(sizes.length > 1, `pages of ${sizes}`);
	assert.deepEqual(names, Array.from({length: n}, (_, i) => name(i)));
}

async function sharing() {
	const g = await galleries.beginCreateOrUpdateAndWait(group, 'npmshared', {location: 'eastus', sharingProfile: {permissions: 'Groups'}});
	const r = await gallerySharingProfile.beginUpdateAndWait(group, 'npmshared', {operationType: 'Add', groups: [{type: 'Subscriptions', ids: [sub]}]});
	assert.equal(r.operationType, 'Add');
	const seen = await galleries.get(group, 'npmshared', {select: 'Permissions', expand: 'SharingProfile/Groups'});
	assert.deepEqual(seen.sharingProfile.groups.map(x => [x.type, x.ids]), [['Subscriptions', [sub]]]);
	const shared = await all(my.compute.sharedGalleries.list('eastus'));
	assert.ok(shared.some(s => s.name === g.identifier.uniqueName), 'it is among the shared galleries');
	await gallerySharingProfile.beginUpdateAndWait(group, 'npmshared', {operationType: 'Reset'});
	await galleries.beginDeleteAndWait(group, 'npmshared');
}

export default async function run() {
	await test('gallery: life cycle', lifeOfAGallery);
	await test('definition and version: life cycle, regions, order', lifeOfAVersion);
	await test('poller: begun, written down, resumed', pollers);
	await test('a request is aborted', aborted);
	await test('errors have types, codes and statuses', typedErrors);
	await test('etags', etags);
	await test('1,050 definitions come in pages', paging);
	await test('sharing', sharing);
}
