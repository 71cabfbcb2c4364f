//! Volumes: finding, making, changing and removing them.

use virtwire_protocol::RemoteError;
use virtwire_protocol::constants::{
    ErrorCode, ErrorDomain, StorageVolCreateFlags, StorageVolInfoFlags, StorageVolResizeFlags,
    StorageVolType, StorageVolWipeAlgorithm,
};
use virtwire_protocol::remote::{self, NonnullStorageVol};
use virtwire_xdr::Str;

use crate::call::Call;
use crate::hypervisor::Uuid;
use crate::hypervisor::storage::{Pool, Volume, VolumeRequest, storage};
use crate::refusal::{Result, check_flags};
use crate::router::Router;

pub(super) fn routes(router: &mut Router) {
    find(router);
    list(router);
    make(router);
    change(router);
    describe(router);
}

fn find(router: &mut Router) {
    router.on::<remote::StorageVolLookupByName>(|call, args| {
        let hypervisor = call.hypervisor();
        let pool = hypervisor.pools.pool(&args.pool)?;
        pool.check_active()?;
        let volume = pool.volume(&args.name.to_string_lossy())?;
        let vol = volume.reference(pool.name());
        Ok(remote::StorageVolLookupByNameRet { vol })
    });
    router.on::<remote::StorageVolLookupByKey>(|call, args| {
        let hypervisor = call.hypervisor();
        let key = args.key.to_string_lossy();
        let (pool, volume) = hypervisor.pools.volume_by_key(&key)?;
        let vol = volume.reference(pool.name());
        Ok(remote::StorageVolLookupByKeyRet { vol })
    });
    router.on::<remote::StorageVolLookupByPath>(|call, args| {
        let hypervisor = call.hypervisor();
        let path = args.path.to_string_lossy();
        let (pool, volume) = hypervisor.pools.volume_by_path(&path)?;
        let vol = volume.reference(pool.name());
        Ok(remote::StorageVolLookupByPathRet { vol })
    });
}

fn list(router: &mut Router) {
    router.on::<remote::StoragePoolNumOfVolumes>(|call, args| {
        let hypervisor = call.hypervisor();
        let pool = hypervisor.pools.pool(&args.pool)?;
        pool.check_active()?;
        let num = i32::try_from(pool.volumes().count()).unwrap_or(i32::MAX);
        Ok(remote::StoragePoolNumOfVolumesRet { num })
    });
    router.on::<remote::StoragePoolListVolumes>(|call, args| {
        let hypervisor = call.hypervisor();
        let pool = hypervisor.pools.pool(&args.pool)?;
        pool.check_active()?;
        let limit = usize::try_from(args.maxnames).unwrap_or(0);
        let names = pool.volumes().map(|volume| Str::from(volume.name.clone()));
        let names = names.take(limit).collect();
        Ok(remote::StoragePoolListVolumesRet { names })
    });
    router.on::<remote::StoragePoolListAllVolumes>(|call, args| {
        check_flags(args.flags, 0, "storagePoolListAllVolumes")?;
        let hypervisor = call.hypervisor();
        let pool = hypervisor.pools.pool(&args.pool)?;
        pool.check_active()?;
        let volumes = pool.volumes();
        let mut vols: Vec<_> = volumes.map(|it| it.reference(pool.name())).collect();
        let ret = u32::try_from(vols.len()).unwrap_or(u32::MAX);
        if args.need_results == 0 {
            vols.clear();
        }
        Ok(remote::StoragePoolListAllVolumesRet { vols, ret })
    });
}

fn make(router: &mut Router) {
    router.on::<remote::StorageVolCreateXml>(|call, args| {
        let vol = create(call, &args)?;
        Ok(remote::StorageVolCreateXmlRet { vol })
    });
    router.on::<remote::StorageVolCreateXmlFrom>(|call, args| {
        let vol = create_from(call, &args)?;
        Ok(remote::StorageVolCreateXmlFromRet { vol })
    });
}

fn create(
    call: &Call,
    args: &remote::StorageVolCreateXmlArgs<'_>,
) -> Result<NonnullStorageVol<'static>> {
    type Flags = StorageVolCreateFlags;
    let known = Flags::PREALLOC_METADATA | Flags::VALIDATE;
    check_flags(args.flags, known.bits(), "storageVolCreateXML")?;
    let flags = Flags::from_bits_retain(args.flags);
    let mut hypervisor = call.hypervisor();
    let pool = hypervisor.pools.pool(&args.pool)?;
    pool.check_active()?;
    let request = VolumeRequest::parse(&args.xml.to_string_lossy())?;
    request.check_capacity()?;
    check_preallocation(&request, flags)?;
    if pool.volume(&request.name).is_ok() {
        return Err(exists(&request.name));
    }
    let (name, uuid) = (pool.name().to_owned(), pool.uuid());
    let (pools, images) = hypervisor.storage();
    let volume = pools.create_volume(&uuid, &request, images)?;
    Ok(volume.reference(&name))
}

fn create_from(
    call: &Call,
    args: &remote::StorageVolCreateXmlFromArgs<'_>,
) -> Result<NonnullStorageVol<'static>> {
    type Flags = StorageVolCreateFlags;
    let known = Flags::PREALLOC_METADATA | Flags::REFLINK | Flags::VALIDATE;
    check_flags(args.flags, known.bits(), "storageVolCreateXMLFrom")?;
    let flags = Flags::from_bits_retain(args.flags);
    let mut hypervisor = call.hypervisor();
    let pool = hypervisor.pools.pool(&args.pool)?;
    pool.check_active()?;
    let (_, source) = hypervisor.pools.volume(&args.clonevol)?;
    let mut request = VolumeRequest::parse(&args.xml.to_string_lossy())?;
    check_preallocation(&request, flags)?;
    if pool.volume(&request.name).is_ok() {
        let what = format!("storage volume name '{}' already in use.", request.name);
        return Err(storage(ErrorCode::INTERNAL_ERROR, &what));
    }
    request.capacity = Some(request.capacity.unwrap_or(0).max(source.capacity));
    let (name, uuid, source) = (pool.name().to_owned(), pool.uuid(), source.clone());
    let (pools, images) = hypervisor.storage();
    let volume = pools.clone_volume(&uuid, &request, &source, images)?;
    Ok(volume.reference(&name))
}

fn check_preallocation(request: &VolumeRequest, flags: StorageVolCreateFlags) -> Result<()> {
    if request.format == "raw" && flags.contains(StorageVolCreateFlags::PREALLOC_METADATA) {
        let what = "metadata preallocation is not supported for raw volumes";
        return Err(storage(ErrorCode::CONFIG_UNSUPPORTED, what));
    }
    Ok(())
}

fn exists(name: &str) -> RemoteError {
    let what = format!("storage volume '{name}' exists already");
    let mut error = RemoteError::new(ErrorCode::STORAGE_VOL_EXIST, ErrorDomain::STORAGE, what);
    error.str1 = Some(String::from("storage volume %s exists already"));
    error.str2 = Some(format!("'{name}'"));
    error
}

fn change(router: &mut Router) {
    router.on::<remote::StorageVolResize>(|call, args| resize(call, &args));
    router.on::<remote::StorageVolWipe>(|call, args| {
        wipe(call, &args.vol, StorageVolWipeAlgorithm::ZERO, args.flags)
    });
    router.on::<remote::StorageVolWipePattern>(|call, args| {
        let algorithm = i32::try_from(args.algorithm).unwrap_or(i32::MAX);
        let algorithm = StorageVolWipeAlgorithm(algorithm);
        wipe(call, &args.vol, algorithm, args.flags)
    });
    router.on::<remote::StorageVolDelete>(|call, args| {
        let mut hypervisor = call.hypervisor();
        let (uuid, volume) = found(hypervisor.pools.volume(&args.vol)?);
        check_flags(args.flags, 0, "virStorageBackendVolDeleteLocal")?;
        let (pools, images) = hypervisor.storage();
        pools.delete_volume(&uuid, &volume, images);
        Ok(())
    });
}

fn found((pool, volume): (&Pool, &Volume)) -> (Uuid, Volume) {
    (pool.uuid(), volume.clone())
}

fn resize(call: &Call, args: &remote::StorageVolResizeArgs<'_>) -> Result<()> {
    type Flags = StorageVolResizeFlags;
    let known = Flags::ALLOCATE | Flags::DELTA | Flags::SHRINK;
    check_flags(args.flags, known.bits(), "storageVolResize")?;
    let flags = Flags::from_bits_retain(args.flags);
    let mut hypervisor = call.hypervisor();
    let (pool, volume) = hypervisor.pools.volume(&args.vol)?;
    let shrinks = flags.contains(Flags::SHRINK);
    let capacity = match (flags.contains(Flags::DELTA), shrinks) {
        (true, true) => volume.capacity.saturating_sub(args.capacity),
        (true, false) => volume.capacity.saturating_add(args.capacity),
        (false, _) => args.capacity,
    };
    if capacity < volume.allocation {
        let what = "can't shrink capacity below existing allocation";
        return Err(storage(ErrorCode::INVALID_ARG, what));
    }
    if capacity < volume.capacity && !shrinks {
        let what = "Can't shrink capacity below current capacity unless shrink flag explicitly \
                    specified";
        return Err(storage(ErrorCode::INVALID_ARG, what));
    }
    let allocate = flags.contains(Flags::ALLOCATE);
    if allocate && capacity - volume.allocation > pool.figures.available {
        let what = "Not enough space left in storage pool";
        return Err(storage(ErrorCode::OPERATION_FAILED, what));
    }
    let (uuid, volume) = found((pool, volume));
    let (pools, images) = hypervisor.storage();
    pools.resize_volume(&uuid, &volume, capacity, allocate, images)
}

fn wipe(
    call: &Call,
    vol: &NonnullStorageVol<'_>,
    algorithm: StorageVolWipeAlgorithm,
    flags: u32,
) -> Result<()> {
    check_flags(flags, 0, "storageVolWipePattern")?;
    if algorithm.name().is_none() {
        let what = format!("wiping algorithm {} not supported", algorithm.0);
        return Err(storage(ErrorCode::INVALID_ARG, &what));
    }
    let mut hypervisor = call.hypervisor();
    let (uuid, volume) = found(hypervisor.pools.volume(vol)?);
    if algorithm == StorageVolWipeAlgorithm::TRIM {
        let what = "'trim' algorithm not supported";
        return Err(storage(ErrorCode::ARGUMENT_UNSUPPORTED, what));
    }
    let (pools, images) = hypervisor.storage();
    pools.wipe_volume(&volume, images)?;
    pools.update_volume(&uuid, &volume.name, true);
    Ok(())
}

fn describe(router: &mut Router) {
    router.on::<remote::StorageVolGetInfo>(|call, args| {
        let (type_, capacity, allocation) = info(call, &args.vol, 0)?;
        Ok(remote::StorageVolGetInfoRet {
            type_,
            capacity,
            allocation,
        })
    });
    router.on::<remote::StorageVolGetInfoFlags>(|call, args| {
        let (type_, capacity, allocation) = info(call, &args.vol, args.flags)?;
        Ok(remote::StorageVolGetInfoFlagsRet {
            type_,
            capacity,
            allocation,
        })
    });
    router.on::<remote::StorageVolGetXmlDesc>(|call, args| {
        check_flags(args.flags, 0, "storageVolGetXMLDesc")?;
        let mut hypervisor = call.hypervisor();
        let (uuid, volume) = found(hypervisor.pools.volume(&args.vol)?);
        hypervisor.pools.update_volume(&uuid, &volume.name, false);
        let (_, volume) = hypervisor.pools.volume(&args.vol)?;
        let xml = volume.xml(&hypervisor.pools.files);
        Ok(remote::StorageVolGetXmlDescRet {
            xml: Str::from(xml.to_string()),
        })
    });
    router.on::<remote::StorageVolGetPath>(|call, args| {
        let hypervisor = call.hypervisor();
        let (_, volume) = hypervisor.pools.volume(&args.vol)?;
        Ok(remote::StorageVolGetPathRet {
            name: Str::from(volume.path.clone()),
        })
    });
}

fn info(call: &Call, vol: &NonnullStorageVol<'_>, flags: u32) -> Result<(i8, u64, u64)> {
    let known = StorageVolInfoFlags::GET_PHYSICAL;
    check_flags(flags, known.bits(), "storageVolGetInfoFlags")?;
    let flags = StorageVolInfoFlags::from_bits_retain(flags);
    let mut hypervisor = call.hypervisor();
    let (uuid, volume) = found(hypervisor.pools.volume(vol)?);
    hypervisor.pools.update_volume(&uuid, &volume.name, false);
    let (_, volume) = hypervisor.pools.volume(vol)?;
    let taken = match flags.contains(known) {
        true => volume.physical,
        false => volume.allocation,
    };
    let kind = i8::try_from(StorageVolType::FILE.0).unwrap_or(0);
    Ok((kind, volume.capacity, taken))
}
