// The mix, each question in the forms that were found to be fast. $TABLE is
// asked in both layouts.

const start = 1785715200000; // 2026-08-03, the first day
const day = `intDiv(toUnixTimestamp64Milli(ts) - ${start}, 86400000)`;

export const questions = {
  Q1: [
    `select ${day} d, uniqExact(user_id) from mix.byevent where event = 'Product Viewed' group by d order by d`,
    `select toDate(ts) - toDate('2026-08-03') d, uniqExact(user_id) from mix.byevent where event = 'Product Viewed' group by d order by d`,
  ],
  Q2: [`select ${day} d, country, count() from mix.byevent where event = 'Product Viewed' group by d, country order by d, country`],
  Q3: [`select ${day} d, platform, round(sum(amount), 2) from mix.byevent where event = 'Charged' group by d, platform order by d, platform`],
  Q4: [`select count() from (select user_id from mix.byevent where event = 'Added to Cart' and ts >= '2026-10-02 00:00:00' group by user_id having count() >= 3)
    where user_id in (select user_id from mix.profiles where country = 'IN')
      and user_id not in (select user_id from mix.byevent where event = 'Charged' and ts >= '2026-10-25 00:00:00')`],
  Q5: [`select countIf(l >= 1), countIf(l >= 2), countIf(l >= 3), countIf(l >= 4) from (
    select user_id, windowFunnel(604800000)(toUInt64(toUnixTimestamp64Milli(ts)), event = 'App Launched', event = 'Product Viewed', event = 'Added to Cart', event = 'Charged') l
    from $TABLE where event in ('App Launched', 'Product Viewed', 'Added to Cart', 'Charged') group by user_id)`],
  Q6: [`with x as (select user_id, intDiv(min(${day}), 7) wk from mix.byevent where event = 'App Launched' and ts < '2026-10-26 00:00:00' group by user_id)
    select wk, back - wk, count() from x join (select distinct user_id, intDiv(${day}, 7) back from mix.byevent
      where event = 'Product Viewed' and ts < '2026-10-26 00:00:00') r on x.user_id = r.user_id where back > wk group by wk, back
    union all select wk, 0, count() from x group by wk`],
  Q7: [`select d, sum(c1), sum(sum(c7)) over (order by d), sum(sum(c30)) over (order by d) from (
    select arrayJoin(arrayConcat(arrayMap(x -> (x, 1, 1, 1), ds), arrayMap((x, n) -> (least(x + 7, n), 0, -1, 0), ds, nx), arrayMap((x, n) -> (least(x + 30, n), 0, 0, -1), ds, nx))) t,
      t.1 d, t.2 c1, t.3 c7, t.4 c30
    from (select user_id, arraySort(groupUniqArray(toInt32(${day}))) ds, arrayPushBack(arrayPopFront(ds), 999) nx from $TABLE group by user_id))
    where d < 90 group by d order by d`],
  // One person's events as arrays in the order of time: names, sessions (which end where more than 30 minutes pass), and what follows
  // in the same session; then the launches among them, and of these the first of each session. No lambda looks into another array:
  // that would copy it for each element.
  Q8: [`select 'App Launched', x.4 = x.2 ? toString(x.3) : '' e1, x.6 = x.2 ? toString(x.5) : '' e2, x.8 = x.2 ? toString(x.7) : '' e3, count() c from (
      select arrayJoin(arrayFilter((l, before) -> l.2 != before, launches, arrayShiftRight(arrayMap(l -> l.2, launches), 1))) x
      from (
        select arraySort(groupArray((ts, event))) list, arrayMap(l -> toUnixTimestamp64Milli(l.1), list) t, arrayMap(l -> l.2, list) e,
          arrayCumSum(arrayMap((a, b) -> a - b > 1800000, t, arrayShiftRight(t, 1))) s,
          arrayFilter(l -> l.1 = 'App Launched', arrayZip(e, s, arrayShiftLeft(e, 1), arrayShiftLeft(s, 1),
            arrayShiftLeft(e, 2), arrayShiftLeft(s, 2), arrayShiftLeft(e, 3), arrayShiftLeft(s, 3))) launches
        from $TABLE group by user_id having length(launches) > 0))
    group by e1, e2, e3 order by c desc, e1, e2, e3 limit 10`],
  Q9: [`select toUnixTimestamp64Milli(ts), event, country, platform, plan, amount from $TABLE where user_id = $SOMEONE order by ts desc limit 100`],
};

const dayName = n => new Date(start + n * 86400000).toISOString().slice(0, 10);

// linesOf brings an answer into the form in which engines are compared
// (engine/lines.go).
export function linesOf(question, rows) {
  const list = [];
  const add = (key, ...numbers) => {
    if (numbers.some(n => Number(n) !== 0)) {
      list.push([key, ...numbers.map(n => Number(n).toFixed(2))].join(' '));
    }
  };
  for (const row of rows) {
    switch (question) {
      case 'Q1':
        add(`${dayName(Number(row[0]))}[]`, row[1]);
        break;
      case 'Q2':
      case 'Q3':
        add(`${dayName(Number(row[0]))}[${row[1]}]`, row[2]);
        break;
      case 'Q4':
        add('people', row[0]);
        break;
      case 'Q5':
        row.forEach((n, i) => add(`step ${i + 1}`, n));
        break;
      case 'Q6':
        add(`${dayName(7 * Number(row[0]))} +${row[1]}`, row[2]);
        break;
      case 'Q7':
        add(dayName(Number(row[0])), ...row.slice(1));
        break;
      case 'Q8':
        add(`[${row.slice(0, 4).filter(w => w !== '').join(' ')}]`, row[4]);
        break;
      case 'Q9':
        add(row.slice(1, 5).join('/'), row[0], row[5]);
        break;
    }
  }
  return list.sort();
}
