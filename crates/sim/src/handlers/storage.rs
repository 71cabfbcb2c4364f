//! Storage pools: finding, defining, starting and stopping them.

use virtwire_protocol::constants::{
    ConnectListAllStoragePoolsFlags, ErrorCode, StoragePoolCreateFlags, StoragePoolDefineFlags,
    StoragePoolEventLifecycleType, StoragePoolState, StorageXmlFlags,
};
use virtwire_protocol::event::StoragePoolEventKind;
use virtwire_protocol::remote::{self, NonnullStoragePool};
use virtwire_xdr::Str;

use crate::call::Call;
use crate::hypervisor::Hypervisor;
use crate::hypervisor::domain::free_uuid;
use crate::hypervisor::storage::{Pool, PoolDefinition, Purpose, storage};
use crate::refusal::{Result, check_flags};
use crate::router::Router;

pub(super) fn routes(router: &mut Router) {
    find(router);
    list(router);
    define(router);
    run(router);
    describe(router);
}

fn find(router: &mut Router) {
    router.on::<remote::StoragePoolLookupByName>(|call, args| {
        let hypervisor = call.hypervisor();
        let name = args.name.to_string_lossy();
        let pool = hypervisor.pools.by_name(&name)?.reference();
        Ok(remote::StoragePoolLookupByNameRet { pool })
    });
    router.on::<remote::StoragePoolLookupByUuid>(|call, args| {
        let pool = call.hypervisor().pools.by_uuid(&args.uuid)?.reference();
        Ok(remote::StoragePoolLookupByUuidRet { pool })
    });
    router.on::<remote::StoragePoolLookupByVolume>(|call, args| {
        let hypervisor = call.hypervisor();
        let name = args.vol.pool.to_string_lossy();
        let pool = hypervisor.pools.by_name(&name)?.reference();
        Ok(remote::StoragePoolLookupByVolumeRet { pool })
    });
    router.on::<remote::StoragePoolLookupByTargetPath>(|call, args| {
        let hypervisor = call.hypervisor();
        let path = args.path.to_string_lossy();
        let pool = hypervisor.pools.by_target(&path)?.reference();
        Ok(remote::StoragePoolLookupByTargetPathRet { pool })
    });
}

fn list(router: &mut Router) {
    router.on::<remote::ConnectListAllStoragePools>(|call, args| {
        check_flags(args.flags, 0xf_ffff, "storageConnectListAllStoragePools")?;
        let flags = ConnectListAllStoragePoolsFlags::from_bits_retain(args.flags);
        let hypervisor = call.hypervisor();
        // Who only counts gets the number of all, whatever the flags.
        let all = args.need_results == 0;
        let found = hypervisor.pools.pools();
        let found = found.filter(|pool| all || pool.matches(flags));
        let mut pools: Vec<_> = found.map(Pool::reference).collect();
        let ret = u32::try_from(pools.len()).unwrap_or(u32::MAX);
        if all {
            pools.clear();
        }
        Ok(remote::ConnectListAllStoragePoolsRet { pools, ret })
    });
    router.on::<remote::ConnectNumOfStoragePools>(|call, ()| {
        let num = names(call, true, i32::MAX).len();
        let num = i32::try_from(num).unwrap_or(i32::MAX);
        Ok(remote::ConnectNumOfStoragePoolsRet { num })
    });
    router.on::<remote::ConnectNumOfDefinedStoragePools>(|call, ()| {
        let num = names(call, false, i32::MAX).len();
        let num = i32::try_from(num).unwrap_or(i32::MAX);
        Ok(remote::ConnectNumOfDefinedStoragePoolsRet { num })
    });
    router.on::<remote::ConnectListStoragePools>(|call, args| {
        let names = names(call, true, args.maxnames);
        Ok(remote::ConnectListStoragePoolsRet { names })
    });
    router.on::<remote::ConnectListDefinedStoragePools>(|call, args| {
        let names = names(call, false, args.maxnames);
        Ok(remote::ConnectListDefinedStoragePoolsRet { names })
    });
}

fn names(call: &Call, active: bool, limit: i32) -> Vec<Str<'static>> {
    let hypervisor = call.hypervisor();
    let pools = hypervisor.pools.pools();
    let found = pools.filter(|pool| pool.active == active);
    let names = found.map(|pool| Str::from(pool.name().to_owned()));
    names.take(usize::try_from(limit).unwrap_or(0)).collect()
}

fn define(router: &mut Router) {
    router.on::<remote::StoragePoolDefineXml>(|call, args| {
        let known = StoragePoolDefineFlags::VALIDATE.bits();
        check_flags(args.flags, known, "storagePoolDefineXML")?;
        let mut hypervisor = call.hypervisor();
        let definition = parse(&hypervisor, &args.xml)?;
        let pool = hypervisor.pools.assign(definition, Purpose::Define)?;
        pool.persistent = true;
        let pool = pool.reference();
        tell(
            &mut hypervisor,
            &pool,
            StoragePoolEventLifecycleType::DEFINED,
        );
        Ok(remote::StoragePoolDefineXmlRet { pool })
    });
    router.on::<remote::StoragePoolUndefine>(|call, args| {
        let mut hypervisor = call.hypervisor();
        let pool = hypervisor.pools.pool(&args.pool)?;
        pool.check_inactive("is still active")?;
        let pool = pool.reference();
        hypervisor.pools.forget(&pool.uuid);
        tell(
            &mut hypervisor,
            &pool,
            StoragePoolEventLifecycleType::UNDEFINED,
        );
        Ok(())
    });
    router.on::<remote::StoragePoolBuild>(|call, args| {
        let mut hypervisor = call.hypervisor();
        let pool = hypervisor.pools.pool(&args.pool)?;
        pool.check_inactive("is already active")?;
        let pool = pool.reference();
        hypervisor.pools.build(&pool.uuid)?;
        tell(
            &mut hypervisor,
            &pool,
            StoragePoolEventLifecycleType::CREATED,
        );
        Ok(())
    });
    router.on::<remote::StoragePoolDelete>(|call, args| {
        let mut hypervisor = call.hypervisor();
        let pool = hypervisor.pools.pool(&args.pool)?;
        pool.check_inactive("is still active")?;
        check_flags(args.flags, 0, "virStorageBackendDeleteLocal")?;
        let pool = pool.reference();
        hypervisor.pools.remove_directory(&pool.uuid)?;
        tell(
            &mut hypervisor,
            &pool,
            StoragePoolEventLifecycleType::DELETED,
        );
        Ok(())
    });
    router.on::<remote::StoragePoolSetAutostart>(|call, args| {
        let mut hypervisor = call.hypervisor();
        let pool = hypervisor.pools.pool_mut(&args.pool)?;
        if !pool.persistent {
            let what = "pool has no config file";
            return Err(storage(ErrorCode::INTERNAL_ERROR, what));
        }
        pool.autostart = args.autostart != 0;
        Ok(())
    });
}

fn parse(hypervisor: &Hypervisor, xml: &Str<'_>) -> Result<PoolDefinition> {
    PoolDefinition::parse(&xml.to_string_lossy(), |name| {
        free_uuid(&format!("pool {name}"), |uuid| {
            hypervisor.pools.contains(uuid)
        })
    })
}

fn run(router: &mut Router) {
    router.on::<remote::StoragePoolCreateXml>(|call, args| {
        let build = wants_build(args.flags, "storagePoolCreateXML")?;
        let mut hypervisor = call.hypervisor();
        let definition = parse(&hypervisor, &args.xml)?;
        let pool = hypervisor.pools.assign(definition, Purpose::Create)?;
        let pool = pool.reference();
        start(&mut hypervisor, &pool, build)?;
        Ok(remote::StoragePoolCreateXmlRet { pool })
    });
    router.on::<remote::StoragePoolCreate>(|call, args| {
        let build = wants_build(args.flags, "storagePoolCreate")?;
        let mut hypervisor = call.hypervisor();
        let pool = hypervisor.pools.pool(&args.pool)?;
        pool.check_inactive("is already active")?;
        let pool = pool.reference();
        start(&mut hypervisor, &pool, build)
    });
    router.on::<remote::StoragePoolDestroy>(|call, args| {
        let mut hypervisor = call.hypervisor();
        let pool = hypervisor.pools.pool(&args.pool)?;
        pool.check_active()?;
        let pool = pool.reference();
        stop(&mut hypervisor, &pool);
        tell(
            &mut hypervisor,
            &pool,
            StoragePoolEventLifecycleType::STOPPED,
        );
        Ok(())
    });
    router.on::<remote::StoragePoolRefresh>(|call, args| {
        check_flags(args.flags, 0, "storagePoolRefresh")?;
        let mut hypervisor = call.hypervisor();
        let pool = hypervisor.pools.pool(&args.pool)?;
        pool.check_active()?;
        let pool = pool.reference();
        let (pools, images) = hypervisor.storage();
        if let Err(error) = pools.refresh(&pool.uuid, images) {
            stop(&mut hypervisor, &pool);
            tell(
                &mut hypervisor,
                &pool,
                StoragePoolEventLifecycleType::STOPPED,
            );
            return Err(error);
        }
        refreshed(&mut hypervisor, &pool);
        Ok(())
    });
}

fn wants_build(flags: u32, function: &str) -> Result<bool> {
    type Flags = StoragePoolCreateFlags;
    let (over, not_over) = (Flags::WITH_BUILD_OVERWRITE, Flags::WITH_BUILD_NO_OVERWRITE);
    let known = Flags::WITH_BUILD | over | not_over;
    check_flags(flags, known.bits(), function)?;
    Ok(Flags::from_bits_retain(flags).intersects(known))
}

fn start(hypervisor: &mut Hypervisor, pool: &NonnullStoragePool<'_>, build: bool) -> Result<()> {
    let (pools, images) = hypervisor.storage();
    let built = if build {
        pools.build(&pool.uuid)
    } else {
        Ok(())
    };
    if let Err(error) = built.and_then(|()| pools.refresh(&pool.uuid, images)) {
        stop(hypervisor, pool);
        return Err(error);
    }
    pools.pool_mut(pool)?.active = true;
    tell(hypervisor, pool, StoragePoolEventLifecycleType::STARTED);
    Ok(())
}

/// Marks a pool as stopped; a transient one is gone then.
fn stop(hypervisor: &mut Hypervisor, pool: &NonnullStoragePool<'_>) {
    if let Ok(found) = hypervisor.pools.pool_mut(pool) {
        found.stop();
        if !found.persistent {
            hypervisor.pools.forget(&pool.uuid);
        }
    }
}

fn describe(router: &mut Router) {
    router.on::<remote::StoragePoolGetInfo>(|call, args| {
        let hypervisor = call.hypervisor();
        let pool = hypervisor.pools.pool(&args.pool)?;
        let state = match pool.active {
            true => StoragePoolState::RUNNING,
            false => StoragePoolState::INACTIVE,
        };
        Ok(remote::StoragePoolGetInfoRet {
            state: u8::try_from(state.0).unwrap_or(u8::MAX),
            capacity: pool.figures.capacity,
            allocation: pool.figures.allocation,
            available: pool.figures.available,
        })
    });
    router.on::<remote::StoragePoolGetXmlDesc>(|call, args| {
        let known = StorageXmlFlags::INACTIVE;
        check_flags(args.flags, known.bits(), "storagePoolGetXMLDesc")?;
        let hypervisor = call.hypervisor();
        let flags = StorageXmlFlags::from_bits_retain(args.flags);
        let xml = hypervisor.pools.pool(&args.pool)?.xml(flags);
        Ok(remote::StoragePoolGetXmlDescRet {
            xml: Str::from(xml.to_string()),
        })
    });
    router.on::<remote::StoragePoolGetAutostart>(|call, args| {
        let autostart = call.hypervisor().pools.pool(&args.pool)?.autostart;
        Ok(remote::StoragePoolGetAutostartRet {
            autostart: autostart.into(),
        })
    });
    router.on::<remote::StoragePoolIsActive>(|call, args| {
        let active = call.hypervisor().pools.pool(&args.pool)?.active;
        Ok(remote::StoragePoolIsActiveRet {
            active: active.into(),
        })
    });
    router.on::<remote::StoragePoolIsPersistent>(|call, args| {
        let persistent = call.hypervisor().pools.pool(&args.pool)?.persistent;
        Ok(remote::StoragePoolIsPersistentRet {
            persistent: persistent.into(),
        })
    });
}

/// Tells everybody who asked what happened to a pool.
fn tell(
    hypervisor: &mut Hypervisor,
    pool: &NonnullStoragePool<'_>,
    event: StoragePoolEventLifecycleType,
) {
    let kind = StoragePoolEventKind::Lifecycle { event, detail: 0 };
    hypervisor.tell(pool.clone().into(), kind.into());
}

/// Tells everybody who asked that a pool was refreshed.
pub(super) fn refreshed(hypervisor: &mut Hypervisor, pool: &NonnullStoragePool<'_>) {
    let kind = StoragePoolEventKind::Refresh;
    hypervisor.tell(pool.clone().into(), kind.into());
}
