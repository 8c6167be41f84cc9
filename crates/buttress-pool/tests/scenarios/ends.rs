//! How leases and pools end.

use super::*;
use buttress_pool::Close;
use buttress_testkit::alloc;
use std::panic::{AssertUnwindSafe, catch_unwind};

#[tokio::test(start_paused = true)]
async fn a_closed_pool_waits_for_its_leases_and_names_those_that_do_not_come_back() {
    let server = Server::new();
    let pool = server.pool(size(4, 8)).await;
    let lease = pool.get().await.unwrap();
    let waiting = {
        let pool = pool.clone();
        let leases: Vec<_> = [pool.get().await.unwrap(), pool.get().await.unwrap()].into();
        tokio::spawn(async move {
            sleep(ms(20)).await;
            drop(leases);
        })
    };
    let line = line!() + 1;
    let leaked = pool.get().await.unwrap();
    let closing = tokio::spawn({
        let pool = pool.clone();
        async move { timed(pool.close(ms(100))).await }
    });
    sleep(ms(1)).await;
    assert!(matches!(pool.get().await, Err(Error::Closed)));
    drop(lease);
    let (unreturned, took) = closing.await.unwrap();
    let unreturned = unreturned.unwrap_err();
    assert_eq!(unreturned.leases(), 1);
    let (by, out_for) = unreturned.out().next().unwrap();
    assert_eq!((by.file(), by.line()), (file!(), line));
    assert!(took >= ms(100) && out_for >= ms(100));
    waiting.await.unwrap();
    drop(leaked);
    assert_eq!(pool.close(Duration::ZERO).await, Ok(()));
    assert_eq!(server.see(|world| world.alive), 0);
}

#[tokio::test(start_paused = true)]
async fn closing_refuses_who_waits_and_ends_with_the_last_lease() {
    let server = Server::new();
    let pool = server.pool(size(1, 1)).await;
    let lease = pool.get().await.unwrap();
    let waiter = tokio::spawn(pool.get());
    let closing = tokio::spawn({
        let pool = pool.clone();
        async move { timed(pool.close(Duration::MAX)).await }
    });
    assert!(matches!(waiter.await.unwrap(), Err(Error::Closed)));
    sleep(ms(50)).await;
    drop(lease);
    let (closed, took) = closing.await.unwrap();
    assert_eq!((closed, took.as_millis()), (Ok(()), 50));
    assert!(pool.is_closed());
}

#[tokio::test(start_paused = true)]
async fn closing_waits_for_no_check_that_hangs_in_the_background() {
    let server = Server::new();
    let pool = server.pool(size(2, 2).keepalive(ms(1_000))).await;
    server.set(|world| world.check = Does::Hangs);
    sleep(ms(1_100)).await;
    assert_eq!(pool.stats().checking, 1);
    let (closed, took) = timed(pool.close(ms(100))).await;
    assert_eq!((closed, took), (Ok(()), Duration::ZERO));
    assert_eq!(server.see(|world| world.alive), 1, "the one that is checked");
    sleep(ms(1_000)).await;
    assert_eq!((server.see(|world| world.alive), pool.stats().size), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn closing_counts_a_getter_whose_check_hangs_among_the_leases_and_refuses_it_in_the_end() {
    let server = Server::new();
    let pool = server.pool(size(1, 1).check_timeout(ms(200))).await;
    sleep(ms(600)).await; // beyond the window
    server.set(|world| world.check = Does::Hangs);
    let get = tokio::spawn(pool.get());
    sleep(ms(50)).await;
    let unreturned = pool.close(ms(100)).await.unwrap_err();
    assert_eq!(unreturned.leases(), 1);
    let (closed, took) = timed(pool.close(ms(1_000))).await;
    assert!(closed.is_ok() && took <= ms(55), "{closed:?} after {took:?}");
    assert!(matches!(get.await.unwrap(), Err(Error::Closed)));
    assert_eq!(server.see(|world| world.alive), 0);
}

#[tokio::test(start_paused = true)]
async fn closing_waits_for_no_connect_that_hangs_and_drops_what_comes_of_it() {
    let server = Server::new();
    server.set(|world| world.connect_time = ms(500));
    let pool = Pool::new("test", size(2, 2), server.clone());
    sleep(ms(10)).await;
    let (closed, took) = timed(pool.close(ms(100))).await;
    assert_eq!((closed, took), (Ok(()), Duration::ZERO));
    sleep(ms(600)).await;
    let stats = pool.stats();
    assert_eq!((stats.created, stats.closed(Close::Closed), stats.connecting), (2, 2, 0));
    assert_eq!(server.see(|world| world.alive), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_dirty_or_detached_or_dropped_by_a_panic_is_for_nobody_else() {
    let server = Server::new();
    let pool = server.pool(size(0, 1)).await;
    pool.get().await.unwrap().mark_dirty();
    assert_eq!((pool.stats().closed(Close::Dirty), server.see(|world| world.alive)), (1, 0));

    let conn = pool.get().await.unwrap().detach();
    assert_eq!((pool.stats().closed(Close::Detached), server.see(|world| world.alive)), (1, 1));
    let lease = pool.get().await.unwrap();
    assert_eq!(server.see(|world| world.alive), 2, "outside the cap");
    drop(conn);

    let panics = tokio::spawn(async move {
        let _lease = lease;
        panic!("in the midst of it");
    });
    assert!(panics.await.is_err());
    assert_eq!((pool.stats().closed(Close::Dirty), pool.stats().size), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_recycled_is_closed_and_nothing_else_is_suspect() {
    for (does, cause) in [(Does::Fails, "connection refused"), (Does::Panics, "the recycle panicked")] {
        let server = Server::new();
        let pool = server.pool(size(2, 2)).await;
        let lease = pool.get().await.unwrap();
        sleep(ms(1)).await;
        server.set(|world| world.recycle = does);
        drop(lease);
        let stats = pool.stats();
        assert_eq!((stats.closed(Close::Unfit), stats.checking, stats.idle), (1, 0, 1), "{does:?}");
        assert_eq!(pool.last_error().unwrap().1.to_string(), cause);
        assert_eq!(server.see(|world| (world.recycles, world.checks)), (1, 0));
        sleep(ms(5)).await;
        assert_eq!(pool.stats().idle, 2, "and replaced");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_left_half_way_is_closed_and_what_ended_well_is_kept() {
    let server = Server::new();
    let pool = server.pool(size(0, 1)).await;
    let request = async |time| {
        let mut lease = pool.get().await.unwrap();
        lease.mark_dirty();
        sleep(time).await;
        lease.mark_clean();
    };
    request(ms(10)).await;
    assert_eq!((pool.stats().closed(Close::Dirty), pool.stats().idle), (0, 1));
    timeout(ms(5), request(ms(10))).await.unwrap_err();
    assert_eq!((pool.stats().closed(Close::Dirty), pool.stats().size), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn what_is_broken_or_dirty_is_not_recycled() {
    let server = Server::new();
    let pool = server.pool(size(0, 2)).await;
    pool.get().await.unwrap().mark_dirty();
    pool.get().await.unwrap().is_broken = true;
    drop(pool.get().await.unwrap().detach());
    assert_eq!(server.see(|world| world.recycles), 0);
    drop(pool.get().await.unwrap());
    assert_eq!(server.see(|world| world.recycles), 1);
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_nobody_has_any_more_closes_its_connections() {
    let server = Server::new();
    let pool = server.pool(size(4, 4)).await;
    let lease = pool.get().await.unwrap();
    drop(pool);
    assert_eq!(server.see(|world| world.alive), 4);
    drop(lease);
    assert_eq!(server.see(|world| world.alive), 0);
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
}

#[test]
fn a_lease_can_be_dropped_where_there_is_no_runtime() {
    let server = Server::new();
    let runtime = runtime();
    let pool = runtime.block_on(server.pool(size(1, 1)));
    let mut lease = runtime.block_on(pool.get()).unwrap();
    lease.is_broken = true;
    std::thread::spawn(move || drop(lease)).join().unwrap();
    assert_eq!(pool.stats().closed(Close::Broken), 1);
    runtime.block_on(pool.get()).unwrap();
}

#[test]
fn a_pool_whose_runtime_is_gone_is_closed() {
    let server = Server::new();
    let first = runtime();
    let pool = first.block_on(server.pool(size(2, 2)));
    let lease = first.block_on(pool.get()).unwrap();
    server.set(|world| world.connect = Does::Hangs);
    pool.resize(Size::new(3, 3).unwrap());
    first.block_on(async { sleep(ms(10)).await });
    assert_eq!((server.see(|world| world.running), pool.stats().connecting), (1, 1));
    drop(first);
    assert_eq!((server.see(|world| world.running), pool.stats().connecting), (0, 0));
    assert!(pool.is_closed());
    assert!(matches!(runtime().block_on(pool.get()), Err(Error::Closed)));
    drop(lease);
    assert_eq!(server.see(|world| world.alive), 0);
}

#[test]
fn a_pool_made_where_there_is_no_runtime_connects_when_it_is_asked() {
    let server = Server::new();
    let pool = Pool::new("test", size(2, 2), server.clone());
    assert_eq!(server.see(|world| world.connects), 0);
    runtime().block_on(pool.get()).unwrap();
}

#[test]
fn a_pool_made_where_there_is_no_runtime_connects_when_it_is_tried() {
    let server = Server::new();
    let pool = Pool::new("test", size(0, 1), server.clone());
    assert!(pool.try_get().is_none());
    pool.resize(Size::new(1, 1).unwrap());
    runtime().block_on(async {
        assert!(pool.try_get().is_none());
        sleep(ms(10)).await;
        assert!(pool.try_get().is_some());
    });
}

#[test]
fn a_get_that_would_wait_for_ever_since_there_is_no_runtime_panics() {
    let pool = Pool::new("test", size(0, 1), Server::new());
    let mut get = pool.get();
    assert!(catch_unwind(AssertUnwindSafe(|| poll(&mut get))).is_err());
    drop(get);
    let stats = pool.stats();
    assert_eq!((stats.waiters, stats.gets, stats.cancelled), (0, 1, 1));
    runtime().block_on(pool.get()).unwrap();
}

#[tokio::test(start_paused = true)]
async fn neither_a_get_nor_a_wait_allocates() {
    let server = Server::new();
    let pool = server.pool(size(1, 1).check_after(Duration::MAX)).await;
    let round = || {
        let mut get = pool.get();
        let Poll::Ready(Ok(lease)) = poll(&mut get) else { panic!("it is idle") };
        let (mut first, mut second) = (waits(&pool), waits(&pool));
        drop(lease);
        assert!(poll(&mut second).is_pending());
        let Poll::Ready(Ok(lease)) = poll(&mut first) else { panic!("it was granted") };
        drop(lease);
        assert!(poll(&mut second).is_ready());
    };
    round(); // the queue has grown
    let ((), counted) = alloc::count(round);
    assert_eq!(counted.allocations, 0);
}
