//! The crates and the host share one database, whoever migrates first, and migrating again changes nothing.

use campus::backend;
use sqlx::migrate::Migrator;

/// Every order of five.
fn orders() -> Vec<Vec<usize>> {
    let mut orders = vec![vec![]];
    for element in 0..5 {
        orders = orders
            .iter()
            .flat_map(|order: &Vec<usize>| {
                (0..=order.len()).map(move |at| {
                    let mut longer = order.clone();
                    longer.insert(at, element);
                    longer
                })
            })
            .collect();
    }
    orders
}

#[tokio::test]
async fn in_any_order_and_twice_on_sqlite() {
    let migrators: [&Migrator; 5] = [
        &stoa_membership::sqlite::MIGRATOR,
        &stoa_audit::sqlite::MIGRATOR,
        &stoa_jobs_runner::sqlite::MIGRATOR,
        &stoa_search::sqlite::MIGRATOR,
        &backend::SQLITE_MIGRATOR,
    ];
    let orders = orders();
    assert_eq!(orders.len(), 120);
    for order in orders {
        let pool = sqlx::sqlite::SqlitePoolOptions::new().max_connections(1).connect("sqlite::memory:").await.unwrap();
        for &index in order.iter().chain(&order) {
            migrators[index].run(&pool).await.unwrap_or_else(|error| panic!("{order:?}: {error}"));
        }
    }
}

#[tokio::test]
async fn in_any_order_and_twice_on_postgres() {
    let migrators: [&Migrator; 5] = [
        &stoa_membership::postgres::MIGRATOR,
        &stoa_audit::postgres::MIGRATOR,
        &stoa_jobs_runner::postgres::MIGRATOR,
        &stoa_search::postgres::MIGRATOR,
        &backend::POSTGRES_MIGRATOR,
    ];
    // Every one comes first once, and last once, and each pair in both orders.
    for order in orders().into_iter().step_by(12) {
        let database = testkit::postgres(&[]).await;
        for &index in order.iter().chain(&order) {
            migrators[index].run(database.pool()).await.unwrap_or_else(|error| panic!("{order:?}: {error}"));
        }
    }
}
