use axum::body::Body;
use axum::http::{Method, header};
use serde_json::json;

use super::sessions;
use crate::app::trial::{PASSWORD, TrialHub, request};

#[tokio::test(flavor = "multi_thread")]
async fn each_role_reaches_what_it_may_and_nothing_else() {
    let (hub, admin) = TrialHub::start_set_up().await;
    let teacher = hub.log_in_new(&admin, "teacher", "teacher").await;
    let pupil = hub.log_in_new(&admin, "pupil", "pupil").await;
    let callers = [("", "nobody"), (&pupil, "pupil"), (&teacher, "teacher"), (&admin, "admin")];
    // Path, then the status for nobody, pupil, teacher, administrator.
    let matrix = [
        ("/api/v1/state", [200, 200, 200, 200]),
        ("/api/v1/users", [401, 403, 403, 200]),
        ("/api/v1/uploads", [401, 403, 200, 200]),
        ("/api/v1/jobs", [401, 403, 200, 200]),
        ("/api/v1/lessons", [401, 200, 200, 200]),
        ("/api/v1/contacts", [401, 403, 200, 200]),
        ("/api/v1/alliance", [401, 404, 404, 404]),
        ("/api/v1/openapi.json", [200, 200, 200, 200]),
        ("/healthz", [200, 200, 200, 200]),
        ("/metrics", [200, 200, 200, 200]),
    ];
    for (path, statuses) in matrix {
        for ((cookie, who), status) in callers.iter().zip(statuses) {
            let answer = hub.get(path, cookie).await;
            assert_eq!(answer.status.as_u16(), status, "{who} at {path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn logging_in_needs_the_right_password_and_logging_out_ends_it() {
    let (hub, admin) = TrialHub::start_set_up().await;
    let log_in = |login: &str, password: &str| {
        let body = json!({"login": login, "password": password});
        hub.post("/api/v1/session", "", body)
    };
    assert_eq!(log_in("admin", "wrong-password").await.outcome(), "401 wrong_login");
    assert_eq!(log_in("nobody", PASSWORD).await.outcome(), "401 wrong_login");
    let answer = log_in(" ADMIN ", PASSWORD).await;
    assert_eq!(answer.outcome(), "200");
    assert_eq!(answer.json()["user"]["role"], "admin");
    assert!(answer.json()["user"].get("pseudonym").is_none());
    let set_cookie = answer.header("set-cookie");
    for part in ["HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=2592000"] {
        assert!(set_cookie.contains(part), "{set_cookie}");
    }
    let cookie = answer.cookie();
    assert_eq!(hub.get("/api/v1/users", &cookie).await.outcome(), "200");
    assert_eq!(hub.delete("/api/v1/session", &cookie).await.outcome(), "204");
    assert_eq!(hub.get("/api/v1/users", &cookie).await.outcome(), "401 not_logged_in");
    assert_eq!(hub.delete("/api/v1/session", &cookie).await.outcome(), "401 not_logged_in");
    assert_eq!(hub.get("/api/v1/users", &admin).await.outcome(), "200");
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_one_login_is_stopped_and_others_still_get_in() {
    let (hub, admin) = TrialHub::start_set_up().await;
    hub.log_in_new(&admin, "li", "teacher").await;
    let guess = || hub.post("/api/v1/session", "", json!({"login": "li", "password": "guess-it"}));
    for _ in 0..10 {
        assert_eq!(guess().await.outcome(), "401 wrong_login");
    }
    let answer = guess().await;
    assert_eq!(answer.outcome(), "429 too_many_tries");
    assert!(answer.json()["params"]["retry_after_s"].as_u64().unwrap() > 200);
    assert_ne!(answer.header("retry-after"), "");
    hub.log_in("admin").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_class_of_sixty_logs_in_at_once() {
    let (hub, admin) = TrialHub::start_set_up().await;
    let hub = std::sync::Arc::new(hub);
    for n in 0..60 {
        let body = json!({"login": format!("p{n:02}"), "name": "学生", "role": "pupil",
            "password": "1234"});
        assert_eq!(hub.post("/api/v1/users", &admin, body).await.outcome(), "201");
    }
    let logins: Vec<_> = (0..60)
        .map(|n| {
            let hub = std::sync::Arc::clone(&hub);
            tokio::spawn(async move {
                let body = json!({"login": format!("p{n:02}"), "password": "1234"});
                hub.post("/api/v1/session", "", body).await.outcome()
            })
        })
        .collect();
    for login in logins {
        assert_eq!(login.await.unwrap(), "200");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_survive_a_restart_and_end_when_their_time_is_over() {
    let (hub, admin) = TrialHub::start_set_up().await;
    hub.app.sync.shutdown().await;
    let hub = TrialHub::start_in(hub.dir, Default::default()).await;
    assert_eq!(hub.get("/api/v1/users", &admin).await.outcome(), "200");
    sessions::expire_all(&hub.app.sessions);
    assert_eq!(hub.get("/api/v1/users", &admin).await.outcome(), "401 not_logged_in");
    hub.app.sessions.remove_expired().await.unwrap();
    assert_eq!(hub.app.sessions.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_is_the_first_administrator() {
    let hub = TrialHub::start().await;
    let token = hub.app.sessions.cli_token().to_owned();
    let ask = async |token: &str| {
        let bearer = format!("Bearer {token}");
        let request = request(Method::GET, "/api/v1/users", "");
        hub.send(request.header(header::AUTHORIZATION, bearer), Body::empty()).await.outcome()
    };
    assert_eq!(ask(&token).await, "409 not_set_up");
    hub.set_up().await;
    assert_eq!(ask(&token).await, "200");
    assert_eq!(ask("0123").await, "401 not_logged_in");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_users_fields_are_bounded_and_logins_are_unique() {
    let (hub, admin) = TrialHub::start_set_up().await;
    let create = |login: &str, name: &str, role: &str, password: &str| {
        let body = json!({"login": login, "name": name, "role": role, "password": password});
        hub.post("/api/v1/users", &admin, body)
    };
    let field = async |login: &str, name: &str, role: &str, password: &str| {
        let answer = create(login, name, role, password).await;
        assert_eq!(answer.outcome(), "422 invalid_input");
        answer.json()["params"]["field"].as_str().unwrap().to_owned()
    };
    assert_eq!(field("a", "王", "teacher", PASSWORD).await, "login");
    assert_eq!(field("Wang", "王", "teacher", PASSWORD).await, "login");
    assert_eq!(field("wang", " ", "teacher", PASSWORD).await, "name");
    assert_eq!(field("wang", &"王".repeat(31), "teacher", PASSWORD).await, "name");
    assert_eq!(field("wang", "王", "teacher", "short").await, "password");
    assert_eq!(field("wang", "王", "pupil", "123").await, "password");
    assert_eq!(field("wang", "王", "king", PASSWORD).await, "body");
    let answer = create("wang", "王老师", "teacher", PASSWORD).await;
    assert_eq!(
        (answer.outcome().as_str(), answer.json()["name"].clone()),
        ("201", "王老师".into())
    );
    assert_eq!(create("wang", "另一个", "pupil", "1234").await.outcome(), "409 login_taken");
    let items = hub.get("/api/v1/users", &admin).await.json()["items"].clone();
    assert_eq!(items.as_array().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn people_change_their_own_password_and_administrators_everything() {
    let (hub, admin) = TrialHub::start_set_up().await;
    let teacher = hub.log_in_new(&admin, "li", "teacher").await;
    let state = hub.get("/api/v1/state", &teacher).await.json();
    let own = format!("/api/v1/users/{}", state["user"]["id"].as_str().unwrap());
    let refused = hub.patch(&own, &teacher, json!({"role": "admin"})).await;
    assert_eq!(refused.outcome(), "403 not_allowed");
    let changed = hub.patch(&own, &teacher, json!({"password": "new-password"})).await;
    assert_eq!(changed.outcome(), "200");
    // The change ends every login that rests on the old password.
    assert_eq!(hub.get("/api/v1/jobs", &teacher).await.outcome(), "401 not_logged_in");
    let renamed = hub.patch(&own, &admin, json!({"name": "李老师", "role": "pupil"})).await;
    assert_eq!(renamed.json()["name"], "李老师");
    assert_eq!(renamed.json()["role"], "pupil");
    assert_eq!(hub.delete(&own, &admin).await.outcome(), "204");
    assert_eq!(hub.delete(&own, &admin).await.outcome(), "404 not_found");
    let other = "/api/v1/users/not-an-id";
    assert_eq!(hub.patch(other, &admin, json!({})).await.outcome(), "404 not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_administrator_stays() {
    let (hub, admin) = TrialHub::start_set_up().await;
    let state = hub.get("/api/v1/state", &admin).await.json();
    let own = format!("/api/v1/users/{}", state["user"]["id"].as_str().unwrap());
    assert_eq!(hub.delete(&own, &admin).await.outcome(), "409 last_admin");
    let demoted = hub.patch(&own, &admin, json!({"role": "teacher"})).await;
    assert_eq!(demoted.outcome(), "409 last_admin");
    let second = hub.log_in_new(&admin, "second", "admin").await;
    assert_eq!(hub.delete(&own, &second).await.outcome(), "204");
    assert_eq!(hub.get("/api/v1/users", &admin).await.outcome(), "401 not_logged_in");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_site_changes_nothing() {
    let (hub, admin) = TrialHub::start_set_up().await;
    let send = async |origin: &str| {
        let request = request(Method::DELETE, "/api/v1/session", &admin);
        hub.send(request.header(header::ORIGIN, origin), Body::empty()).await.outcome()
    };
    assert_eq!(send("http://evil.example").await, "403 origin_mismatch");
    assert_eq!(send("null").await, "403 origin_mismatch");
    assert_eq!(send("http://hub.lan").await, "204");
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_too_large_or_no_json_are_refused_in_words() {
    let (hub, _) = TrialHub::start_set_up().await;
    let send = async |kind: &str, body: String| {
        let request = request(Method::POST, "/api/v1/session", "");
        let request = request.header(header::CONTENT_TYPE, kind);
        hub.send(request, Body::from(body)).await.outcome()
    };
    let large = json!({"login": "x".repeat(70_000), "password": ""}).to_string();
    assert_eq!(send("application/json", large).await, "413 body_too_large");
    assert_eq!(send("text/plain", "{}".to_owned()).await, "415 unsupported_media");
    assert_eq!(send("application/json", "{".to_owned()).await, "422 invalid_input");
    assert_eq!(send("application/json", "{}".to_owned()).await, "422 invalid_input");
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_guesses_keep_neither_the_class_nor_the_owner_elsewhere_out() {
    let (hub, _) = TrialHub::start_set_up().await;
    let (room, home) = ([192, 0, 2, 1].into(), [192, 0, 2, 2].into());
    let tries = &hub.app.tries;
    let refused = (0..1_000).filter(|_| tries.begin("admin", room).is_err()).count();
    assert_eq!(refused, 990);
    (0..60).for_each(|pupil| tries.begin(&format!("pupil-{pupil}"), room).unwrap());
    tries.begin("admin", home).unwrap();
    let addresses = (10..30).map(|n| [192, 0, 2, n].into());
    let tried = addresses.flat_map(|address| std::iter::repeat_n(address, 10));
    assert_eq!(tried.filter(|address| tries.begin("admin", *address).is_ok()).count(), 89);
}
