//! Finding people.

use serde_json::json;

use crate::cluster::Cluster;

#[tokio::test]
async fn people_are_found_by_a_part_of_their_name_in_any_case() {
    let cluster = Cluster::start().await;
    let rest = cluster.rest(0);
    let me = rest.register("searcher_an").await.unwrap();
    for name in ["Hannah", "annika", "Joanne", "bert", "under_score", "underXscore"] {
        rest.register(name).await.unwrap();
    }
    let names = async |query: &str| {
        let answer = me
            .rest
            .get(&format!("/api/users/search?{query}"))
            .await
            .unwrap()
            .expect(200)
            .unwrap();
        let users = answer.body["users"].as_array().unwrap().clone();
        users
            .iter()
            .map(|user| user["username"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        names("q=AN&limit=20").await,
        ["annika", "Hannah", "Joanne"],
        "sorted, and without the one who asks"
    );
    assert_eq!(names("query=ann").await, ["annika", "Hannah", "Joanne"]);
    assert_eq!(names("q=bert&query=ann").await, ["bert"]);
    assert_eq!(names("q=an&limit=1").await, ["annika"]);
    assert_eq!(names("q=r_s").await, ["under_score"], "a wildcard means itself");
    assert_eq!(names("q=%25").await, [""; 0]);
    assert_eq!(names("q=+bert+").await, ["bert"]);
    let found = me.rest.get("/api/users/search?q=an&limit=1").await.unwrap();
    assert_eq!(found.body["total"], 3);
    let user = &found.body["users"][0];
    assert_eq!(
        (&user["isContact"], &user["hasPendingRequest"]),
        (&json!(false), &json!(false))
    );
}

#[tokio::test]
async fn nonsense_is_refused() {
    let cluster = Cluster::start().await;
    let me = cluster.rest(0).register("ada").await.unwrap();
    let long = format!("q={}", "x".repeat(101));
    for query in [
        "",
        "q=",
        "q=%20",
        "q=a&limit=0",
        "q=a&limit=-1",
        "q=a&limit=x",
        "q=a%00b",
        "q=a&q=b",
        &long,
    ] {
        let answer = me.rest.get(&format!("/api/users/search?{query}")).await.unwrap();
        assert_eq!(
            (answer.status, &answer.body["code"]),
            (400, &json!("VALIDATION_ERROR")),
            "{query}"
        );
    }
    me.rest
        .get("/api/users/search?q=a&limit=100000&more=1")
        .await
        .unwrap()
        .expect(200)
        .unwrap();
    me.rest
        .get("/api/users/search?q=%ff%fe")
        .await
        .unwrap()
        .expect(200)
        .unwrap();
}
