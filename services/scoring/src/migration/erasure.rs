//! What the erasure of persons needs: new tables only.

use regard_database::Engine;

use crate::erasure::store;

pub fn up(engine: Engine) -> Vec<String> {
    let mut all = regard_erasure::tables(engine);
    all.extend(
        store::tables()
            .iter()
            .flat_map(|table| table.create(engine)),
    );
    all
}
