//! Scores on the wire.

use regard_models::Grade;
use regard_proto::common::v1 as common;
use regard_proto::scoring::v1 as pb;
use regard_proto::scoring::v1::score_service_server::ScoreService;
use regard_server::wire::{Named, date, day, timestamp};
use regard_server::{Page, caller, status};
use regard_types::{Caller, ChangeToken, Fault, Kind, Uuid};
use tonic::{Request, Response, Status};

use super::domain::{ScoreSet, ScoreValue};
use super::read::{Ask, Explained, Scores};
use crate::definition::{Book, ScoreDefinition};

const LIST: &str = "regard.scoring.v1.ScoreService/ListScores";

/// Which scores an answer has, by their places in the book.
enum Wanted {
    All,
    Some(Vec<usize>),
}

fn wanted(scores: &Scores, names: &[String]) -> Result<Wanted, Fault> {
    if names.is_empty() {
        return Ok(Wanted::All);
    }
    names
        .iter()
        .map(|name| scores.place(name))
        .collect::<Result<_, _>>()
        .map(Wanted::Some)
}

fn arrival(
    scores: &Scores,
    caller: &Caller,
    field: &str,
    customer: Option<&common::CustomerRef>,
) -> Result<Uuid, Fault> {
    Ok(match Named::customer(field, customer)? {
        Named::Id(id) => id,
        // Only a key needs the tenant's secret.
        named @ Named::Key(_) => named.customer_id(&scores.core().db.ids(caller.tenant)).0,
    })
}

/// The changes that an answer must contain.
pub(crate) fn token(texts: &[String]) -> Result<ChangeToken, Fault> {
    let mut out = ChangeToken::default();
    for (index, text) in texts.iter().enumerate() {
        let one = ChangeToken::decode(text).map_err(|error| {
            let field = format!("change_tokens[{index}]");
            Fault::new(
                Kind::Invalid,
                "TOKEN_INVALID",
                "a change token cannot be read",
            )
            .meta("field", &field)
            .and_invalid(field, error.to_string())
        })?;
        out.merge(&one);
    }
    Ok(out)
}

fn ask(tokens: &[String], as_of: Option<&regard_proto::types::Date>) -> Result<Ask, Fault> {
    Ok(Ask {
        token: token(tokens)?,
        as_of: as_of.map(|d| day("as_of", d)).transpose()?,
    })
}

fn to_grade(grade: Grade) -> pb::Grade {
    match grade {
        Grade::A => pb::Grade::A,
        Grade::B => pb::Grade::B,
        Grade::C => pb::Grade::C,
        Grade::D => pb::Grade::D,
        Grade::E => pb::Grade::E,
    }
}

/// What all scores of a set share on the wire.
struct Frame {
    as_of: regard_proto::types::Date,
    valid_until: Option<prost_types::Timestamp>,
}

impl Frame {
    fn of(set: &ScoreSet) -> Self {
        Self {
            as_of: date(set.as_of),
            valid_until: set.valid_until.map(timestamp),
        }
    }

    fn score(&self, definition: &ScoreDefinition, v: ScoreValue) -> pb::Score {
        let ScoreValue {
            definition: _,
            value,
            band,
            interval,
            grade,
            reasons,
            model,
            n,
        } = v;
        pb::Score {
            name: definition.name.clone(),
            value,
            unit: definition.unit.clone(),
            band,
            interval: interval.map(|(low, high, level)| common::Interval { low, high, level }),
            grade: i32::from(to_grade(grade)),
            reasons,
            as_of: Some(self.as_of),
            valid_until: self.valid_until,
            definition_version: definition.version.clone(),
            model_id: model.map_or_else(String::new, |id| id.to_string()),
            n,
        }
    }
}

fn to_scores(
    book: &Book,
    wanted: &Wanted,
    (customer, mut set): (Uuid, ScoreSet),
) -> pb::CustomerScores {
    let frame = Frame::of(&set);
    let values = std::mem::take(&mut set.values);
    let scores = match wanted {
        Wanted::All => values
            .into_iter()
            .filter_map(|v| Some(frame.score(book.scores.get(v.definition)?, v)))
            .collect(),
        Wanted::Some(places) => {
            let one = |place: &usize| {
                let value = values.iter().find(|v| v.definition == *place)?;
                Some(frame.score(book.scores.get(*place)?, value.clone()))
            };
            places.iter().filter_map(one).collect()
        }
    };
    pb::CustomerScores {
        customer_id: customer.to_string(),
        scores,
        version: set.version,
    }
}

fn to_explanation(definition: &ScoreDefinition, explained: Explained) -> pb::ExplainScoreResponse {
    let Explained {
        explanation: e,
        set,
    } = explained;
    let fact = |f: super::explain::Fact| pb::Fact {
        name: f.name.to_owned(),
        value: f.value,
        unit: f.unit.to_owned(),
        description: f.description,
    };
    let contribution = |c: super::explain::Contribution| pb::Contribution {
        fact: c.fact,
        effect: c.effect,
        description: c.description,
    };
    pb::ExplainScoreResponse {
        score: Some(Frame::of(&set).score(definition, e.score)),
        facts: e.facts.into_iter().map(fact).collect(),
        contributions: e.contributions.into_iter().map(contribution).collect(),
        formula: format!("{} ({})", definition.formula, definition.source),
        parameters: e
            .parameters
            .into_iter()
            .map(|(name, value)| pb::Parameter { name, value })
            .collect(),
        summary: e.summary,
    }
}

impl Scores {
    async fn answer_get(
        &self,
        caller: &Caller,
        body: &pb::GetScoresRequest,
    ) -> Result<pb::CustomerScores, Fault> {
        let wanted = wanted(self, &body.scores)?;
        let arrival = arrival(self, caller, "customer", body.customer.as_ref())?;
        if body.change_tokens.is_empty()
            && body.as_of.is_none()
            && let Some(scored) = self.at_hand(caller, arrival)
        {
            return Ok(to_scores(&self.core().book, &wanted, scored));
        }
        let ask = ask(&body.change_tokens, body.as_of.as_ref())?;
        // The way to the store is long: it is not part of every answer's future.
        let scored = Box::pin(self.get(caller, arrival, &ask)).await?;
        Ok(to_scores(&self.core().book, &wanted, scored))
    }

    async fn answer_batch(
        &self,
        caller: &Caller,
        body: &pb::BatchGetScoresRequest,
    ) -> Result<Vec<pb::CustomerScores>, Fault> {
        let wanted = wanted(self, &body.scores)?;
        let mut arrivals = Vec::with_capacity(body.customers.len());
        for (index, customer) in body.customers.iter().enumerate() {
            arrivals.push(arrival(
                self,
                caller,
                &format!("customers[{index}]"),
                Some(customer),
            )?);
        }
        let ask = ask(&body.change_tokens, body.as_of.as_ref())?;
        let scored = self.batch(caller, &arrivals, &ask).await?;
        Ok(scored
            .into_iter()
            .map(|scored| to_scores(&self.core().book, &wanted, scored))
            .collect())
    }

    async fn answer_list(
        &self,
        caller: &Caller,
        body: pb::ListScoresRequest,
    ) -> Result<pb::ListScoresResponse, Fault> {
        let place = self.place(&body.score)?;
        let range = (body.min_value, body.max_value);
        if let (Some(low), Some(high)) = range
            && low > high
        {
            return Err(Fault::invalid("max_value", "must be at least min_value"));
        }
        let token = token(&body.change_tokens)?;
        let as_of = body.as_of.map(|d| day("as_of", &d)).transpose()?;
        // How new the data are is not part of the question.
        let question = pb::ListScoresRequest {
            change_tokens: Vec::new(),
            ..body
        };
        let page = Page::read(
            caller,
            LIST,
            &question,
            question.page_size,
            &question.page_token,
        )?;
        let (listed, next_page_token) = self
            .list(caller, place, range, as_of, &page, &token)
            .await?;
        let book = &self.core().book;
        let customers = listed
            .into_iter()
            .map(|row| to_scores(book, &Wanted::All, (row.customer, row.set)))
            .collect();
        Ok(pb::ListScoresResponse {
            customers,
            next_page_token,
        })
    }

    async fn answer_explain(
        &self,
        caller: &Caller,
        body: &pb::ExplainScoreRequest,
    ) -> Result<pb::ExplainScoreResponse, Fault> {
        let place = self.place(&body.score)?;
        let arrival = arrival(self, caller, "customer", body.customer.as_ref())?;
        let ask = ask(&body.change_tokens, body.as_of.as_ref())?;
        let explained = self.explain(caller, arrival, place, &ask).await?;
        let definition = self
            .core()
            .book
            .scores
            .get(place)
            .ok_or_else(|| Fault::bug("a score that is not in the book"))?;
        Ok(to_explanation(definition, explained))
    }
}

#[tonic::async_trait]
impl ScoreService for Scores {
    async fn get_scores(
        &self,
        request: Request<pb::GetScoresRequest>,
    ) -> Result<Response<pb::GetScoresResponse>, Status> {
        let caller = caller(&request)?;
        let scores = self
            .answer_get(&caller, request.get_ref())
            .await
            .map_err(status)?;
        Ok(Response::new(pb::GetScoresResponse {
            scores: Some(scores),
        }))
    }

    async fn batch_get_scores(
        &self,
        request: Request<pb::BatchGetScoresRequest>,
    ) -> Result<Response<pb::BatchGetScoresResponse>, Status> {
        let caller = caller(&request)?;
        let customers = self
            .answer_batch(&caller, request.get_ref())
            .await
            .map_err(status)?;
        Ok(Response::new(pb::BatchGetScoresResponse { customers }))
    }

    async fn list_scores(
        &self,
        request: Request<pb::ListScoresRequest>,
    ) -> Result<Response<pb::ListScoresResponse>, Status> {
        let caller = caller(&request)?;
        let answer = self
            .answer_list(&caller, request.into_inner())
            .await
            .map_err(status)?;
        Ok(Response::new(answer))
    }

    async fn explain_score(
        &self,
        request: Request<pb::ExplainScoreRequest>,
    ) -> Result<Response<pb::ExplainScoreResponse>, Status> {
        let caller = caller(&request)?;
        let answer = self
            .answer_explain(&caller, request.get_ref())
            .await
            .map_err(status)?;
        Ok(Response::new(answer))
    }
}
