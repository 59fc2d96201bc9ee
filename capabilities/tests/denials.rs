//! What a denial leaves in the log.

use std::convert::Infallible;
use std::fmt::{Debug, Write as _};
use std::sync::{Arc, Mutex};

use stoa_capabilities::{Capabilities, Facts, Matrix, Rule, scoped};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

stoa_capabilities::capabilities! {
    /// What one may do.
    enum Can {
        /// Look.
        Read = "thing.read",
        /// Touch.
        Write = "thing.write",
    }
}

/// Everybody has the role of their name, except that nobody is nobody.
struct Names;

impl Facts for Names {
    type Connection = ();
    type Actor = &'static str;
    type Scope = u32;
    type Role = &'static str;
    type Error = Infallible;

    async fn role(&self, (): &mut (), name: &&'static str, _: &u32) -> Result<Option<&'static str>, Infallible> {
        Ok(Some(*name).filter(|name| *name != "nobody"))
    }

    async fn role_many(
        &self,
        conn: &mut (),
        name: &&'static str,
        scopes: &[u32],
    ) -> Result<Vec<Option<&'static str>>, Infallible> {
        let mut roles = Vec::new();
        for scope in scopes {
            roles.push(self.role(conn, name, scope).await?);
        }
        Ok(roles)
    }

    async fn hold(&self, conn: &mut (), name: &&'static str, scope: &u32) -> Result<Option<&'static str>, Infallible> {
        self.role(conn, name, scope).await
    }
}

/// Keeps the events at the level `INFO` and above.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::INFO
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, " {}={value:?}", field.name()).unwrap();
    }
}

#[tokio::test]
async fn a_denial_is_logged_once_with_its_reason_and_a_check_is_not() {
    let matrix = Matrix::new([Rule::new("reader").grants([Can::Read]), Rule::new("owner").grants([Can::Write])]);
    let capabilities = Capabilities::new(Names, matrix.unwrap());
    let log = Log::default();
    let guard = tracing::subscriber::set_default(log.clone());
    scoped!(tx = Box::new(()));
    for name in ["owner", "reader", "ghost", "nobody"] {
        let granted = capabilities.authorize(&mut tx, Write, &name, &7).await.is_ok();
        assert_eq!(granted, name == "owner");
        assert_eq!(capabilities.check(&mut tx, Can::Write, &name, &7).await.unwrap(), granted);
    }
    drop(guard);
    let version = capabilities.matrix().version();
    assert_eq!(
        *log.0.lock().unwrap(),
        [
            format!(
                r#"INFO message=denied capability=thing.write actor="reader" scope=7 role="reader" reason="the role does not grant it" matrix={version}"#
            ),
            format!(
                r#"INFO message=denied capability=thing.write actor="ghost" scope=7 role="ghost" reason="the matrix does not know the role" matrix={version}"#
            ),
            format!(
                r#"INFO message=denied capability=thing.write actor="nobody" scope=7 reason="no role in the scope" matrix={version}"#
            ),
        ]
    );
}
