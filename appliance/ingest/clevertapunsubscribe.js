// What /e answers to CleverTap's library on a page where somebody unsubscribes.
// It asks and tells the recipient's own address, and then the page. What is
// told is a POST: the GET that brought this script has changed nothing.
(function (q) {
  var at = new URL(q.at, document.currentScript.src).href;
  var headers = { Accept: "application/json" };
  function ask() {
    return fetch(at, { headers: headers, credentials: "omit" }).then(function (r) {
      if (!r.ok) throw new Error("it is answered " + r.status);
      return r.json();
    });
  }
  function tell(fields) {
    return fetch(at, { method: "POST", headers: headers, credentials: "omit", body: new URLSearchParams(fields) }).then(function (r) {
      if (!r.ok) throw new Error("it is answered " + r.status);
    });
  }
  function say(name, what, more) {
    if (typeof window[name] === "function") window[name](what, more);
  }
  function mail(box) {
    return box.value.indexOf("email ") === 0;
  }
  // change saves all that is chosen, as decide says it of each box.
  function change(decide) {
    return ask().then(function (now) {
      var fields = [["action", "save"]];
      now.purposes.forEach(function (p) {
        p.channels.forEach(function (box) {
          if (decide(box, p, now)) fields.push(["allow", box.value]);
        });
      });
      return tell(fields);
    });
  }
  function done(said) {
    return function () { say("wzrk_email_subscription", said); };
  }
  var work;
  if (q.sub === "0" && !q.global) {
    work = tell([["action", "unsubscribe"]]).then(done("0"));
  } else if (q.sub === "0" || q.sub === "1") {
    work = change(function (box, p, now) {
      return (q.global ? mail(box) : box.value === now.own) ? q.sub === "1" : box.on;
    }).then(done(q.sub));
  } else if (q.sub === "2") {
    work = change(function (box, p) {
      var g = mail(box) && q.groups.find(function (g) { return g.name === p.title; });
      return g ? !g.isUnsubscribed : box.on;
    }).then(done("2"));
  } else {
    work = ask().then(function (now) {
      var groups = [];
      now.purposes.forEach(function (p) {
        p.channels.forEach(function (box) {
          if (mail(box) && !p.contract) groups.push({ name: p.title, isUnsubscribed: !box.on });
        });
      });
      say("wzrk_email_fetched", "", { groups: groups });
    });
  }
  work.catch(function (e) {
    console.error("unsubscribing: " + e.message);
  });
})
