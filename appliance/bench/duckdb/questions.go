package main

import (
	"strings"
	"time"

	"github.com/cloisterhq/cloister/appliance/bench/mix"
)

// dayName is the name of the day so many days after the first.
func dayName(n float64) string { return mix.Start.AddDate(0, 0, int(n)).Format(time.DateOnly) }

// day is the number of an event's day, which is faster to group by than a date.
const day = `((epoch_ms(ts) - 1785715200000) // 86400000)`

// date is the same number, by way of a date.
const date = `(ts::date - date '2026-08-03')`

// asof is the funnel as a chain of joins to the latest event before.
const asof = `with s1 as (select user_id, ts from events where event = 'App Launched'),
s2 as (select e.user_id, e.ts, s1.ts st from (select user_id, ts from events where event = 'Product Viewed') e
	asof join s1 on e.user_id = s1.user_id and e.ts > s1.ts where e.ts - s1.ts <= interval 7 day),
s3 as (select e.user_id, e.ts, s2.st from (select user_id, ts from events where event = 'Added to Cart') e
	asof join s2 on e.user_id = s2.user_id and e.ts > s2.ts where e.ts - s2.st <= interval 7 day),
s4 as (select e.user_id, e.ts, s3.st from (select user_id, ts from events where event = 'Charged') e
	asof join s3 on e.user_id = s3.user_id and e.ts > s3.ts where e.ts - s3.st <= interval 7 day)
select (select count(distinct user_id) from s1), (select count(distinct user_id) from s2),
	(select count(distinct user_id) from s3), (select count(distinct user_id) from s4)`

var materialized = strings.NewReplacer("s2 as (", "s2 as materialized (", "s3 as (", "s3 as materialized (", "s4 as (", "s4 as materialized (")

// paths of four events from a session's first App Launched; a session ends where
// more than 30 minutes pass. What begins a session, or may, is few rows: which
// launch is a session's first is then told by the row before among these.
const steps = `select user_id, ts, event,
	coalesce(ts - lag(ts) over w > interval 30 minute, true) begins,
	case when lead(ts, 1) over w - ts <= interval 30 minute then lead(event, 1) over w end e1,
	case when lead(ts, 2) over w - lead(ts, 1) over w <= interval 30 minute then lead(event, 2) over w end e2,
	case when lead(ts, 3) over w - lead(ts, 2) over w <= interval 30 minute then lead(event, 3) over w end e3
	from events window w as (partition by user_id order by ts)`

const top = ` select 'App Launched', e1::varchar, case when e1 is not null then e2::varchar end,
	case when e1 is not null and e2 is not null then e3::varchar end, count(*) c
	from firsts group by all order by c desc, 2 nulls first, 3 nulls first, 4 nulls first limit 10`

// questions are the mix, each in the forms that were found to be fast.
var questions = map[string][]string{
	"Q1": {
		`select ` + day + ` d, count(distinct user_id) from events where event = 'Product Viewed' group by 1 order by 1`,
		`select d, count(*) from (select distinct ` + day + ` d, user_id from events where event = 'Product Viewed') group by 1 order by 1`,
		`select ` + date + ` d, count(distinct user_id) from events where event = 'Product Viewed' group by 1 order by 1`,
		`select d, count(*) from (select distinct ` + date + ` d, user_id from events where event = 'Product Viewed') group by 1 order by 1`,
	},
	"Q2": {
		`select ` + day + ` d, country::varchar, count(*) from events where event = 'Product Viewed' group by 1, country order by 1, country`,
		`select ` + date + ` d, country::varchar, count(*) from events where event = 'Product Viewed' group by 1, country order by 1, country`,
	},
	"Q3": {
		`select ` + day + ` d, platform::varchar, round(sum(amount), 2) from events where event = 'Charged' group by 1, platform order by 1, platform`,
		`select ` + date + ` d, platform::varchar, round(sum(amount), 2) from events where event = 'Charged' group by 1, platform order by 1, platform`,
	},
	"Q4": {
		`with a as (select user_id from events where event = 'Added to Cart' and ts >= '2026-10-02' group by 1 having count(*) >= 3),
		b as (select user_id from events where event = 'Charged' and ts >= '2026-10-25')
		select count(*) from a join profiles p using(user_id) where p.country = 'IN' and not exists(select 1 from b where b.user_id = a.user_id)`,
		`with a as (select user_id from events semi join (select user_id from profiles where country = 'IN') using(user_id)
			where event = 'Added to Cart' and ts >= '2026-10-02' group by 1 having count(*) >= 3)
		select count(*) from a anti join (select user_id from events where event = 'Charged' and ts >= '2026-10-25') b using(user_id)`,
	},
	"Q5": {asof, materialized.Replace(asof)},
	"Q6": {`with x as (select user_id, min(` + day + `) // 7 wk from events where event = 'App Launched' and ts < '2026-10-26' group by 1),
		r as (select distinct user_id, ` + day + ` // 7 wk from events where event = 'Product Viewed' and ts < '2026-10-26')
		select x.wk, r.wk - x.wk, count(*) from x join r using(user_id) where r.wk > x.wk group by 1, 2
		union all select wk, 0, count(*) from x group by 1`},
	"Q7": {`with ud as (select distinct user_id, ` + day + `::smallint d from events),
		g as (select d, coalesce(lead(d) over (partition by user_id order by d), 999) n from ud),
		p as (select d, count(*) c from g group by 1), w as (select least(d + 7, n) d, count(*) c from g group by 1),
		m as (select least(d + 30, n) d, count(*) c from g group by 1)
		select p.d, p.c, sum(p.c - coalesce(w.c, 0)) over (order by p.d)::bigint, sum(p.c - coalesce(m.c, 0)) over (order by p.d)::bigint
		from p left join w using(d) left join m using(d) order by 1`},
	"Q8": {
		`with steps as (` + steps + `), firsts as (select e1, e2, e3 from (select user_id, ts, event, begins, e1, e2, e3 from steps
			where begins or event = 'App Launched') where event = 'App Launched'
			qualify begins or lag(event) over (partition by user_id order by ts) <> 'App Launched')` + top,
	},
	"Q9": {`select epoch_ms(ts), event::varchar, country::varchar, platform::varchar, plan::varchar, amount
		from events where user_id = $SOMEONE order by ts desc limit 100`},
}
