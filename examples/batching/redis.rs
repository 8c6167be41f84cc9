//! Redis: `MGET`, on connections that carry many commands at once.

use crate::{Error, Single, failure};
use ::redis::AsyncCommands;
use buttress::pool::redis::{Redis, size};
use buttress::pool::{Config, Lease, Pool, PoolLayer};
use std::env;
use std::num::NonZeroU32;
use tower::ServiceBuilder;
use tower::util::BoxCloneSyncService;

/// Sets a hundred keys, and reads twice as many.
pub(crate) async fn show() -> Result<(), Box<dyn std::error::Error>> {
    /// A long one would hold up what others ask on that connection.
    const MOST: NonZeroU32 = NonZeroU32::new(100).unwrap();
    const LEASES_EACH: NonZeroU32 = NonZeroU32::new(64).unwrap();
    let config = Config::default().size(size(env::var)?);
    let pool = Pool::shared("redis", config, Redis::from_vars(env::var)?, LEASES_EACH);
    let mut redis = pool.get().await?;
    for number in 0..100 {
        let () = redis.set_ex(key(number), number, 60).await?;
    }

    let numbers = ServiceBuilder::new().layer(PoolLayer::new(&pool)).service_fn(get);
    let numbers = Single::new("numbers", MOST, BoxCloneSyncService::new(numbers));
    let (found, calls) = numbers.ask((0..200).map(key)).await;
    let found = found.into_iter().collect::<Result<Vec<_>, _>>()?;
    let count = found.iter().zip(0..).filter(|(found, number)| **found == Some(*number)).count();
    println!("redis: {count} of {} keys were found, in {calls} calls", found.len());
    Ok(())
}

fn key(number: u64) -> String {
    format!("buttress:batching:{number}")
}

/// Values come in the order of the keys, each in its place.
async fn get(
    (mut redis, keys): (Lease<Redis>, Vec<String>),
) -> Result<Vec<Result<Option<u64>, Error>>, Error> {
    let values: Vec<Option<u64>> =
        ::redis::cmd("MGET").arg(keys).query_async(&mut *redis).await.map_err(failure)?;
    Ok(values.into_iter().map(Ok).collect())
}
