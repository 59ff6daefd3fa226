// SPDX-License-Identifier: Apache-2.0
// Disks and snapshots; a VHD goes up and comes down with @azure/storage-blob.
import {PageBlobClient} from '@azure/storage-blob';

import {all, assert, fails, group, my, scope, test} from './lib.mjs';

const {disks, snapshots, images, galleryImages, galleryImageVersions, galleries} = my.compute;
const mib = 1024 * 1024, size = 32 * mib;

// A fixed VHD: the payload and a footer of 512 bytes.
function footer() {
	const f = Buffer.alloc(512);
	f.write('conectix');
	f.writeUInt32BE(2, 8);
	f.writeUInt32BE(0x10000, 12);
	f.fill(0xff, 16, 24);
	f.write('kiln', 28);
	f.writeUInt32BE(0x10000, 32);
	f.writeBigUInt64BE(BigInt(size), 40);
	f.writeBigUInt64BE(BigInt(size), 48);
	f.writeUInt32BE(0x03c00411, 56);
	f.writeUInt32BE(2, 60);
	f.fill(7, 68, 84);
	f.writeUInt32BE(~f.reduce((a, b) => a + b, 0) >>> 0, 64);
	return f;
}
const payload = (() => {
	const p = Buffer.alloc(size);
	for (let at = 0; at < size; at += 4 * mib)
		p.write(`page at ${at}`, at);
	return p;
})();

async function upload() {
	const d = await disks.beginCreateOrUpdateAndWait(group, 'npmup', {location: 'eastus', osType: 'Linux', hyperVGeneration: 'V2',
		creationData: {createOption: 'Upload', uploadSizeBytes: size + 512}});
	assert.equal(d.diskState, 'ReadyToUpload');
	const {accessSAS} = await disks.beginGrantAccessAndWait(group, 'npmup', {access: 'Write', durationInSeconds: 600});
	const blob = new PageBlobClient(accessSAS);
	assert.equal((await blob.getProperties()).contentLength, size + 512);
	for (let at = 0; at < size; at += 4 * mib)
		await blob.uploadPages(payload.subarray(at, at + mib), at, mib);
	await blob.clearPages(4 * mib + mib / 2, 512);
	await blob.uploadPages(footer(), size, 512);
	await fails(() => blob.uploadPages(Buffer.alloc(512), size + 512, 512), 416, /^InvalidPageRange$/);
	await disks.beginRevokeAccessAndWait(group, 'npmup');
	const gone = await fails(() => blob.getProperties(), 403, /^(AuthenticationFailed)?$/);
	assert.equal(gone.response.headers.get('x-ms-error-code'), 'AuthenticationFailed');
	const done = await disks.get(group, 'npmup');
	assert.equal(done.diskState, 'Unattached');
	assert.equal(done.diskSizeBytes, size);
}

async function download() {
	const s = await snapshots.beginCreateOrUpdateAndWait(group, 'npmsnap', {location: 'eastus',
		creationData: {createOption: 'Copy', sourceResourceId: `${scope}/providers/Microsoft.Compute/disks/npmup`}});
	assert.equal(s.provisioningState, 'Succeeded');
	const {accessSAS} = await snapshots.beginGrantAccessAndWait(group, 'npmsnap', {access: 'Read', durationInSeconds: 600});
	const blob = new PageBlobClient(accessSAS);
	const got = await blob.downloadToBuffer();
	assert.equal(got.length, size + 512);
	assert.ok(got.subarray(0, size).equals(payload), 'what came down is what went up');
	assert.equal(got.toString('latin1', size, size + 8), 'conectix');
	await fails(() => snapshots.beginDeleteAndWait(group, 'npmsnap'), 409, /./);
	await snapshots.beginRevokeAccessAndWait(group, 'npmsnap');
}

async function published() {
	const snap = `${scope}/providers/Microsoft.Compute/snapshots/npmsnap`;
	const image = await images.beginCreateOrUpdateAndWait(group, 'npmimage', {location: 'eastus', hyperVGeneration: 'V2',
		storageProfile: {osDisk: {osType: 'Linux', osState: 'Generalized', snapshot: {id: snap}}}});
	assert.equal(image.provisioningState, 'Succeeded');
	assert.ok((await all(images.listByResourceGroup(group))).some(i => i.name === 'npmimage'));
	await galleries.beginCreateOrUpdateAndWait(group, 'npmdisks', {location: 'eastus'});
	await galleryImages.beginCreateOrUpdateAndWait(group, 'npmdisks', 'up', {location: 'eastus', osType: 'Linux', osState: 'Generalized',
		hyperVGeneration: 'V2', identifier: {publisher: 'npm', offer: 'disks', sku: 'up'}});
	for (const [n, storageProfile] of [['1.0.0', {source: {id: image.id}}], ['2.0.0', {osDiskImage: {source: {id: snap}}}]]) {
		const v = await galleryImageVersions.beginCreateOrUpdateAndWait(group, 'npmdisks', 'up', n, {location: 'eastus', storageProfile});
		assert.equal(v.provisioningState, 'Succeeded');
	}
	await images.beginDeleteAndWait(group, 'npmimage');
	await snapshots.beginDeleteAndWait(group, 'npmsnap');
	await disks.beginDeleteAndWait(group, 'npmup');
	await fails(() => disks.get(group, 'npmup'), 404, /^ResourceNotFound$/);
	assert.equal((await galleryImageVersions.get(group, 'npmdisks', 'up', '2.0.0')).provisioningState, 'Succeeded');
}

export default async function run() {
	await test('a VHD is uploaded', upload);
	await test('a snapshot is downloaded', download);
	await test('images and versions of it; their sources may go', published);
}
