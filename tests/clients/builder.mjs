// SPDX-License-Identifier: Apache-2.0
// Image templates with @azure/arm-imagebuilder: one is baked, one is cancelled.
import {all, assert, fails, group, my, scope, test} from './lib.mjs';

const {virtualMachineImageTemplates: templates} = my.builder;
const identity = {type: 'UserAssigned', userAssignedIdentities: {[`${scope}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/npm`]: {}}};
const target = `${scope}/providers/Microsoft.Compute/galleries/npmbuild/images/baked`;
const template = (name, inline, more = {}) => ({
	location: 'eastus', identity, tags: {from: 'npm'}, buildTimeoutInMinutes: 30,
	source: {type: 'PlatformImage', publisher: 'Debian', offer: 'debian-12', sku: '12-gen2', version: 'latest'},
	customize: [{type: 'Shell', name: 'step', inline}],
	distribute: [{type: 'SharedImage', runOutputName: `${name}-out`, galleryImageId: target, targetRegions: [{name: 'eastus', replicaCount: 1}]}],
	...more,
});

async function prepare() {
	await my.compute.galleries.beginCreateOrUpdateAndWait(group, 'npmbuild', {location: 'eastus'});
	await my.compute.galleryImages.beginCreateOrUpdateAndWait(group, 'npmbuild', 'baked', {
		location: 'eastus', osType: 'Linux', osState: 'Generalized', hyperVGeneration: 'V2',
		features: [{name: 'SecurityType', value: 'TrustedLaunchSupported'}],
		identifier: {publisher: 'npm', offer: 'debian', sku: 'baked'}});
}

async function baked() {
	const made = await templates.beginCreateOrUpdateAndWait(group, 'npmbake', template('npmbake', ['echo from npm > /etc/from-npm']));
	assert.equal(made.provisioningState, 'Succeeded');
	assert.equal(made.source.type, 'PlatformImage');
	assert.equal(made.customize[0].name, 'step');
	await templates.beginRunAndWait(group, 'npmbake');
	const after = await templates.get(group, 'npmbake');
	assert.equal(after.lastRunStatus.runState, 'Succeeded');
	assert.ok(after.lastRunStatus.endTime >= after.lastRunStatus.startTime);
	const outputs = await all(templates.listRunOutputs(group, 'npmbake'));
	assert.deepEqual(outputs.map(o => o.name), ['npmbake-out']);
	const output = await templates.getRunOutput(group, 'npmbake', 'npmbake-out');
	assert.match(output.artifactId, /\/images\/baked\/versions\/\d+\.\d+\.\d+$/);
	const version = await my.compute.galleryImageVersions.get(group, 'npmbuild', 'baked', output.artifactId.split('/').pop(), {expand: 'ReplicationStatus'});
	assert.equal(version.replicationStatus.aggregatedState, 'Completed');
}

async function changed() {
	const tagged = await templates.beginUpdateAndWait(group, 'npmbake', {tags: {stage: 'test'}});
	assert.deepEqual(tagged.tags, {stage: 'test'});
	const none = await templates.beginUpdateAndWait(group, 'npmbake', {identity: {type: 'None'}});
	assert.equal(none.identity.type, 'None');
	await fails(() => templates.beginCreateOrUpdateAndWait(group, 'npmbake', template('npmbake', ['true'])), 409, /^OperationNotAllowed$/);
	assert.ok((await all(templates.list())).some(t => t.name === 'npmbake'));
	assert.ok((await all(templates.listByResourceGroup(group))).some(t => t.name === 'npmbake'));
}

async function cancelled() {
	await templates.beginCreateOrUpdateAndWait(group, 'npmslow', template('npmslow', ['sleep 600']));
	const run = await templates.beginRun(group, 'npmslow');
	await run.submitted?.();
	const joined = await templates.beginRun(group, 'npmslow'); // the same inputs: the same run
	await joined.submitted?.();
	await templates.beginCancelAndWait(group, 'npmslow');
	await assert.rejects(run.pollUntilDone());
	await assert.rejects(joined.pollUntilDone());
	assert.equal((await templates.get(group, 'npmslow')).lastRunStatus.runState, 'Canceled');
	await fails(() => templates.beginCancelAndWait(group, 'npmslow'), 409, /^OperationNotAllowed$/);
	await templates.beginDeleteAndWait(group, 'npmslow');
}

async function refused() {
	await fails(() => templates.beginCreateOrUpdateAndWait(group, 'npmbad', template('npmbad', ['true'], {distribute: []})), 400, /./);
	const e = await fails(() => templates.beginCreateOrUpdateAndWait(group, 'npmbad', template('npmbad', ['true'], {
		customize: [{type: 'File', name: 'file', sourceUri: 'https://example.com/x', destination: 'relative'}]})), 400, /./);
	assert.match(e.message, /destination/);
	await fails(() => templates.get(group, 'npmbad'), 404, /^ResourceNotFound$/);
}

async function triggers() {
	const t = my.builder.triggers;
	const source = {type: 'SharedImageVersion', imageVersionId: `${target}/versions/latest`};
	await templates.beginCreateOrUpdateAndWait(group, 'npmtrigger', template('npmtrigger', ['true'], {source}));
	const kind = x => x.properties?.kind ?? x.kind; // older clients lift it
	const made = await t.beginCreateOrUpdateAndWait(group, 'npmtrigger', 'source', {kind: 'SourceImage', properties: {kind: 'SourceImage'}});
	assert.equal(kind(made), 'SourceImage');
	assert.equal(kind(await t.get(group, 'npmtrigger', 'source')), 'SourceImage');
	assert.deepEqual((await all(t.listByImageTemplate(group, 'npmtrigger'))).map(x => x.name), ['source']);
	await t.beginDeleteAndWait(group, 'npmtrigger', 'source');
	await fails(() => t.get(group, 'npmtrigger', 'source'), 404, /./);
}

async function deleted() {
	await templates.beginDeleteAndWait(group, 'npmbake');
	await fails(() => templates.get(group, 'npmbake'), 404, /^ResourceNotFound$/);
}

export default async function run() {
	await test('templates: gallery and definition', prepare);
	await test('a template is baked, its version replicated', baked);
	await test('a template: what may change and what not', changed);
	await test('a run is cancelled', cancelled);
	await test('bad templates', refused);
	await test('triggers', triggers);
	await test('a template is deleted', deleted);
}
