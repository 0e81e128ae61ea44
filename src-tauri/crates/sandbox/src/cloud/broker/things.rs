//! Things: release to support, and the credentials that a service visit or a transfer changes.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Broker, Code, Person, Problem, Right};
use crate::cloud::registry::{Deletion, ThingView, Touch};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReleaseBody {
    claim_id: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct UnderClaim {
    claim_id: Option<String>,
}

type Answer = Result<Json<ThingView>, Problem>;

pub(super) async fn released(State(broker): State<Broker>, person: Person) -> Result<Json<Value>, Problem> {
    person.must(Right::Support)?;
    Ok(Json(json!({ "things": broker.0.registry.released() })))
}

pub(super) async fn release(
    State(broker): State<Broker>,
    person: Person,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Json<Value>, Problem> {
    person.must(Right::Release)?;
    let ReleaseBody { claim_id } = super::read(&body)?;
    let released_at = broker.0.registry.release(&name, &claim_id)?;
    Ok(Json(json!({ "releasedAt": released_at })))
}

pub(super) async fn deactivate(
    State(broker): State<Broker>,
    person: Person,
    Path((name, principal)): Path<(String, String)>,
    body: Bytes,
) -> Answer {
    let under = under_claim(&body)?;
    broker
        .set_active(&name, &principal, touch(&person, &under), false)
        .await
}

pub(super) async fn activate(
    State(broker): State<Broker>,
    person: Person,
    Path((name, principal)): Path<(String, String)>,
    body: Bytes,
) -> Answer {
    let under = under_claim(&body)?;
    broker
        .set_active(&name, &principal, touch(&person, &under), true)
        .await
}

pub(super) async fn delete(
    State(broker): State<Broker>,
    person: Person,
    Path((name, principal)): Path<(String, String)>,
    under: Result<Query<UnderClaim>, QueryRejection>,
) -> Answer {
    let Query(under) = under.map_err(|error| Problem::new(Code::MalformedRequest, error.body_text()))?;
    let left = broker
        .0
        .registry
        .may_delete(&name, &principal, touch(&person, &under))?;
    let (parts, thing) = (Arc::clone(&broker.0), name.clone());
    // It goes on to its end where whoever asked goes away.
    let removing = tokio::spawn(async move {
        match left {
            Deletion::Done => Ok(()),
            Deletion::Detached => parts.account.delete(&principal).await,
            Deletion::Attached => parts.account.remove(&thing, &principal).await,
        }
    });
    removing.await.map_err(|_| Problem::internal())??;
    broker.shown(&name)
}

impl Broker {
    async fn set_active(&self, name: &str, principal: &str, touch: Touch<'_>, active: bool) -> Answer {
        let parts = &self.0;
        if parts.registry.may_set_active(name, principal, touch, active)? {
            parts.account.set_active(principal, active).await?;
        }
        self.shown(name)
    }

    fn shown(&self, name: &str) -> Answer {
        let view = self.0.registry.view(name).ok_or_else(Problem::internal)?;
        Ok(Json(view))
    }
}

/// The body may be left out.
fn under_claim(body: &Bytes) -> Result<UnderClaim, Problem> {
    if body.is_empty() {
        Ok(UnderClaim::default())
    } else {
        super::read(body)
    }
}

fn touch<'a>(person: &Person, under: &'a UnderClaim) -> Touch<'a> {
    Touch {
        claim: under.claim_id.as_deref(),
        may_claim: person.may(Right::Claim),
        may_transfer: person.may(Right::Transfer),
    }
}
