// SPDX-License-Identifier: Apache-2.0
// What each area needs before its operations can be asked for, and how their parameters are called.

// Which api-versions are asked for: the oldest, az's, those of the specifications, the newest.
export const versions = {
	gallery: ['2018-06-01', '2021-10-01', '2022-03-03', '2023-07-03', '2025-12-03'],
	images: ['2015-06-15', '2020-06-01', '2022-08-01', '2026-04-01'],
	disks: ['2017-03-30', '2022-07-02', '2026-03-02'],
	skus: ['2019-04-01', '2021-07-01'],
	imagebuilder: ['2018-02-01-preview', '2022-02-14', '2022-07-01', '2024-02-01', '2025-10-01'],
	authorization: ['2015-07-01', '2020-04-01-preview', '2022-04-01'],
	resources: ['2019-10-01', '2021-04-01', '2022-09-01', '2025-04-01'],
	subscriptions: ['2019-11-01', '2022-12-01'],
};

// Query options that are tried, each on its own.
export const queries = {
	Galleries_Get: ['$select=Permissions', '$expand=SharingProfile/Groups'],
	GalleryImageVersions_Get: ['$expand=ReplicationStatus'],
	GalleryApplicationVersions_Get: ['$expand=ReplicationStatus'],
	SharedGalleries_List: ['sharedTo=tenant'],
	ResourceGroups_List: ['$top=1', "$filter=tagName eq 'a' and tagValue eq 'b'"],
	Resources_List: ['$top=1', "$filter=resourceType eq 'Microsoft.Compute/galleries'", '$expand=createdTime,changedTime,provisioningState'],
	Resources_ListByResourceGroup: ['$top=1'],
	RoleDefinitions_List: ["$filter=roleName eq 'Reader'"],
	RoleAssignments_ListForScope: ['$filter=atScope()'],
	Providers_List: ['$expand=resourceTypes/aliases'],
	VirtualMachineImages_List: ['$top=1'],
};

// An example that needs a resource which another example made.
export const targets = {
	Gallery_AddToSharingProfile: 'Gallery_Create_WithSharingProfile',
	Gallery_ResetSharingProfile: 'Gallery_Create_WithSharingProfile',
	Gallery_EnableCommunityGallery: 'CommunityGallery_Create',
	Disk_BeginGetAccess: 'Disk_Create_Empty',
	Snapshot_BeginGetAccess: 'Snapshot_Create_FromAnExistingSnapshot',
	UpdateImageTemplateVmProfile: 'CreateImageTemplateLinux',
	UpdateImageTemplateTags: 'CreateImageTemplateLinux',
	UpdateImageTemplateToRemoveIdentities: 'CreateImageTemplateLinux',
};

// Bodies for what the specifications give no (usable) example of.
const role = w => ({properties: {roleName: `conformance ${w.label}`, description: 'reads', type: 'CustomRole',
	permissions: [{actions: ['*/read'], notActions: []}], assignableScopes: [w.group]}});
export const bodies = {
	ResourceGroups_Update: () => ({tags: {a: 'c'}}),
	Resources_CreateOrUpdate: () => ({location: 'eastus', properties: {osType: 'Linux', osState: 'Generalized',
		identifier: {publisher: 'conformance', offer: 'generic', sku: 'linux'}}}),
	Resources_CreateOrUpdateById: () => ({location: 'eastus'}),
	Resources_Update: () => ({tags: {a: 'c'}}),
	Resources_UpdateById: () => ({tags: {a: 'c'}}),
	Resources_MoveResources: w => ({resources: [w.compute], targetResourceGroup: w.group}),
	Resources_ValidateMoveResources: w => ({resources: [w.compute], targetResourceGroup: w.group}),
	RoleDefinitions_CreateOrUpdate: role,
};

// Generic operations speak the api-version of the resource that they are about, here a gallery's.
export const generic = /^Resources_(Get|Delete|Update|CreateOrUpdate|CheckExistence)(ById)?$/;
export const genericVersion = '2023-07-03';

// Parameters that hold more than one segment of a path.
export const ids = ['scope', 'resourceId', 'roleAssignmentId', 'roleId', 'parentResourcePath'];

const guid = n => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`;

// A name that fits the parameter.
export function nameFor(parameter, n, world) {
	if (/VersionName$/.test(parameter))
		return `2.0.${n}`;
	if (/roleAssignmentName|roleDefinitionId/.test(parameter))
		return guid(n);
	if (parameter === 'resourceId')
		return `${world.compute}/galleries/byid${n}${world.flat}`;
	if (parameter === 'roleAssignmentId')
		return `${world.group}/providers/Microsoft.Authorization/roleAssignments/${guid(n)}`;
	return parameter === 'galleryName' ? `gallery${n}${world.flat}` : `${parameter.replace(/Name$/, '')}-${n}`;
}

export class World {
	constructor(client, area, version) {
		const {subscriptionId, tenantId} = client.admin;
		this.client = client;
		this.area = area;
		this.version = version;
		this.subscription = subscriptionId;
		this.tenant = tenantId;
		this.label = `${area}-${version}`;
		this.flat = this.label.replace(/[^a-z0-9]/g, '');
		this.sub = `/subscriptions/${subscriptionId}`;
		this.group = `${this.sub}/resourceGroups/${this.label}`;
		this.compute = `${this.group}/providers/Microsoft.Compute`;
		this.regions = ['eastus', 'westeurope', 'northeurope'];
		this.identity = `${this.group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/builder`;
		this.parameters = {
			subscriptionId, resourceGroupName: this.label, location: 'eastus', scope: this.group.slice(1),
			resourceProviderNamespace: 'Microsoft.Compute', roleId: `${this.sub}/providers/Microsoft.Authorization/roleDefinitions/acdd72a7-3385-48ef-bd42-f606fba81ae7`, publisherName: 'Debian', offer: 'debian-12', skus: '12-gen2',
		};
		this.special = {}; // parameters of one operation alone
		this.extra = []; // what is not in the group
		this.open = []; // disks that a URL reads
		this.missing = [];
	}

	// A resource that the rest stands on; what cannot be made leaves a note, not a failure: the
	// operations that need it fail by themselves.
	async make(id, version, body) {
		const {client} = this;
		const r = await client.send('PUT', `${id}?api-version=${version}`, body);
		const end = await client.settle(r);
		if (r.status >= 300 || (end && end.body.status !== 'Succeeded'))
			this.missing.push(`${id.slice(this.group.length)}: ${JSON.stringify(end?.body?.error ?? r.body?.error)}`);
		return id;
	}

	async setUp() {
		await this.make(this.group, '2021-04-01', {location: 'eastus', tags: {a: 'b'}});
		await setUps[this.area]?.(this);
	}

	// Content without a bake: an empty disk, a snapshot of it, a managed image of that.
	async content() {
		const disk = n => this.make(`${this.compute}/disks/${n}`, '2022-07-02', {location: 'eastus',
			properties: {osType: 'Linux', hyperVGeneration: 'V2', diskSizeGB: 1, creationData: {createOption: 'Empty'}}});
		const snapshot = (n, from) => this.make(`${this.compute}/snapshots/${n}`, '2022-07-02', {location: 'eastus',
			properties: {creationData: {createOption: 'Copy', sourceResourceId: from}}});
		this.diskId = await disk('base');
		this.snapshotId = await snapshot('base', this.diskId);
		this.dataSnapshotId = await snapshot('data', await disk('data'));
		this.osOf = {disk: this.diskId, snapshot: this.snapshotId};
		this.dataOf = {disk: `${this.compute}/disks/data`, snapshot: this.dataSnapshotId};
		this.imageId = await this.make(`${this.compute}/images/base`, '2022-08-01', {location: 'eastus',
			properties: {hyperVGeneration: 'V2', storageProfile: {
				osDisk: {osType: 'Linux', osState: 'Generalized', snapshot: {id: this.snapshotId}}}}});
		this.vhd = await this.url(await disk('vhd'));
		this.vhdOfData = await this.url(await disk('vhd-data'));
		this.platformId = `${this.sub}/providers/Microsoft.Compute/locations/eastus/publishers/Debian` +
			'/artifacttypes/vmimage/offers/debian-12/skus/12-gen2/versions/latest';
		this.osType = 'Linux';
	}

	// A URL of this server that reads a disk as a VHD.
	async url(disk) {
		const r = await this.client.send('POST', `${disk}/beginGetAccess?api-version=2022-07-02`, {access: 'Read', durationInSeconds: 3600});
		const end = await this.client.settle(r);
		this.open.push(disk);
		return (r.headers.location && end ? await this.client.send('GET', r.headers.location) : r).body?.accessSAS;
	}

	async tearDown() {
		for (const disk of this.open)
			await this.client.settle(await this.client.send('POST', `${disk}/endGetAccess?api-version=2022-07-02`));
		for (const url of [...this.extra, `${this.group}?api-version=2021-04-01`])
			await this.client.settle(await this.client.send('DELETE', url));
	}

	// A gallery that this subscription is given, and one that everybody is.
	async shareBoth() {
		const shared = await this.gallery(`shared${this.flat}`, {sharingProfile: {permissions: 'Groups'}});
		const community = await this.gallery(`community${this.flat}`, {sharingProfile: {permissions: 'Community',
			communityGalleryInfo: {publisherUri: 'https://example.com', publisherContact: 'images@example.com',
				eula: 'none', publicNamePrefix: 'golden'}}});
		for (const [id, body] of [
			[shared, {operationType: 'Add', groups: [{type: 'Subscriptions', ids: [this.subscription]}]}],
			[community, {operationType: 'EnableCommunity'}]])
			await this.client.settle(await this.client.send('POST', `${id}/share?api-version=2022-03-03`, body));
		const read = async id => (await this.client.send('GET', `${id}?api-version=2023-07-03`)).body?.properties;
		const unique = (await read(shared))?.identifier?.uniqueName;
		const name = (await read(community))?.sharingProfile?.communityGalleryInfo?.publicNames?.[0];
		Object.assign(this.parameters, {galleryUniqueName: unique, publicGalleryName: name});
		this.sharedVersionId = `/sharedGalleries/${unique}/images/linux/versions/1.0.0`;
		this.communityVersionId = `/communityGalleries/${name}/images/linux/versions/1.0.0`;
	}

	// What must be undone before the resource that an example made can go.
	async release(made) {
		if (made.example === 'CommunityGallery_Create')
			await this.client.settle(await this.client.send('POST',
				`${this.compute}/galleries/${made.parameters.galleryName}/share?api-version=2022-03-03`, {operationType: 'Reset'}));
	}

	// A gallery with a definition and a version.
	async gallery(name, properties = {}) {
		const version = '2023-07-03';
		const gallery = await this.make(`${this.compute}/galleries/${name}`, version, {location: 'eastus', properties});
		const definition = await this.make(`${gallery}/images/linux`, version, {location: 'eastus', properties: {
			osType: 'Linux', osState: 'Generalized', hyperVGeneration: 'V2',
			identifier: {publisher: 'conformance', offer: 'base', sku: name}}});
		await this.make(`${definition}/versions/1.0.0`, version, {location: 'eastus', properties: {
			storageProfile: {source: {id: this.imageId}}, publishingProfile: {targetRegions: [{name: 'eastus'}]}}});
		return gallery;
	}
}

const setUps = {
	async gallery(w) {
		await w.content();
		const own = await w.gallery(`own${w.flat}`);
		await w.shareBoth();
		Object.assign(w.parameters, {
			galleryName: own.split('/').pop(), galleryImageName: 'linux', galleryImageVersionName: '1.0.0',
			galleryApplicationName: 'agent', artifactType: 'Images', artifactName: 'linux',
		});
		w.versionId = `${own}/images/linux/versions/1.0.0`;
		await w.make(`${own}/applications/agent`, '2023-07-03', {location: 'eastus', properties: {supportedOSType: 'Linux'}});
	},
	async images(w) {
		await w.content();
		const list = await w.client.send('GET', `${w.platformId.replace(/\/latest$/, '')}?api-version=2022-08-01`);
		w.parameters.version = list.body?.[0]?.name;
	},
	async disks(w) {
		await w.content();
		w.versionId = `${await w.gallery(`own${w.flat}`)}/images/linux/versions/1.0.0`;
		await w.shareBoth();
	},
	async imagebuilder(w) {
		await w.content();
		w.parameters.imageTemplateName = 'latest';
		const gallery = await w.gallery(`t${w.flat}`);
		w.versionId = `${gallery}/images/linux/versions/1.0.0`;
		await w.make(`${w.group}/providers/Microsoft.VirtualMachineImages/imageTemplates/latest`, '2022-07-01', {
			location: 'eastus', identity: {type: 'UserAssigned', userAssignedIdentities: {[w.identity]: {}}}, properties: {
				source: {type: 'SharedImageVersion', imageVersionId: `${gallery}/images/linux/versions/latest`},
				customize: [{type: 'Shell', name: 'step', inline: ['true']}],
				distribute: [{type: 'SharedImage', runOutputName: 'out', galleryImageId: `${gallery}/images/linux`,
					replicationRegions: ['eastus']}]}});
	},
	async authorization(w) {
		w.principalType = 'ServicePrincipal';
		const gallery = await w.make(`${w.compute}/galleries/own${w.flat}`, '2023-07-03', {location: 'eastus'});
		await w.make(`${gallery}/images/linux`, '2023-07-03', {location: 'eastus', properties: {osType: 'Linux',
			osState: 'Generalized', identifier: {publisher: 'conformance', offer: 'roles', sku: 'linux'}}});
		w.special = {
			RoleAssignments_ListForResource: {resourceType: 'galleries', resourceName: `own${w.flat}`},
			Permissions_ListForResource: {parentResourcePath: `galleries/own${w.flat}`, resourceType: 'images', resourceName: 'linux'},
		};
		const given = new Map(), made = [];
		for (let i = 0; i < 6; i++) {
			const id = `/providers/Kiln.Identity/servicePrincipals/${w.flat}-${i}`;
			const r = await w.client.send('PUT', `${id}?api-version=2026-11-01`, {properties: {displayName: w.label}});
			made.push(r.body?.properties?.objectId);
			w.extra.push(`${id}?api-version=2026-11-01`);
		}
		w.principal = name => given.get(name) ?? (given.set(name, made[given.size]), given.get(name));
	},
	async resources(w) {
		const gallery = await w.make(`${w.compute}/galleries/res${w.flat}`, '2023-07-03', {location: 'eastus'});
		Object.assign(w.parameters, {sourceResourceGroupName: w.label, resourceId: gallery, tagName: 'team', tagValue: 'images',
			parentResourcePath: gallery.split('Microsoft.Compute/')[1], resourceType: 'images', resourceName: 'linux'});
	},
};
