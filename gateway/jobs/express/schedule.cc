#include "gateway/jobs/express/schedule.hh"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace qanat::jobs {
namespace {

constexpr double kLeast = 1;  // bytes a second that are worth a leg
constexpr std::size_t kMaxSlots = 4096;

// Between two instants nothing changes: what is left of every link.
struct Slot {
  std::int64_t from_ms, to_ms;
  bool off_peak;
  std::vector<double> left;
};

std::vector<Slot> open_road(std::span<const Link> links, const Tariff& tariff, std::int64_t now_ms) {
  std::vector<double> all;
  for (const Link& link : links) all.push_back(link.bytes_per_s);
  std::vector<Slot> road;
  const std::int64_t end = now_ms + kHorizonMs;
  for (std::int64_t at = now_ms; at < end && road.size() < kMaxSlots;) {
    const std::int64_t next = std::min(tariff.next_change(at).value_or(end), end);
    road.push_back({at, next, tariff.is_off_peak(at), all});
    at = next;
  }
  return road;
}

Course drive(std::vector<Slot>& road, const Transfer& transfer, bool off_peak_only) {
  Course course;
  double to_go = static_cast<double>(transfer.bytes), off_peak = 0;
  course.finish_ms = road.empty() || to_go > 0 ? kNever : road.front().from_ms;
  for (std::size_t i = 0; i < road.size() && to_go > 0; ++i) {
    if (off_peak_only && !road[i].off_peak) continue;
    double pace = transfer.links.empty() ? 0 : road[i].left[transfer.links.front()];
    for (const std::size_t link : transfer.links) pace = std::min(pace, road[i].left[link]);
    if (pace < kLeast) continue;
    const double room = pace * static_cast<double>(road[i].to_ms - road[i].from_ms) / 1000;
    if (room > to_go + 1e-6) {  // arrives within the slot, which is cut there
      const auto takes =
          std::max<std::int64_t>(1, static_cast<std::int64_t>(std::ceil(to_go * 1000 / pace - 1e-6)));
      if (road[i].from_ms + takes < road[i].to_ms && road.size() < kMaxSlots) {
        Slot rest = road[i];
        rest.from_ms = road[i].to_ms = road[i].from_ms + takes;
        road.insert(road.begin() + static_cast<std::ptrdiff_t>(i) + 1, std::move(rest));
      }
    }
    const double moved = std::min(room, to_go);
    for (const std::size_t link : transfer.links) road[i].left[link] -= pace;
    course.legs.push_back({road[i].from_ms, road[i].to_ms, pace, road[i].off_peak});
    if (road[i].off_peak) off_peak += moved;
    to_go -= moved;
    if (to_go <= 1e-6) {
      to_go = 0;
      course.finish_ms = road[i].to_ms;
    }
  }
  course.off_peak_bytes = std::min(transfer.bytes, static_cast<std::uint64_t>(std::llround(off_peak)));
  course.peak_bytes = transfer.bytes - course.off_peak_bytes;
  course.in_time = !transfer.by_ms || course.finish_ms <= *transfer.by_ms;
  return course;
}

}  // namespace

double Course::pace(std::int64_t now_ms) const {
  for (const Leg& leg : legs)
    if (leg.from_ms <= now_ms && now_ms < leg.to_ms) return leg.bytes_per_s;
  return 0;
}

std::vector<Course> timetable(std::span<const Link> links, const Tariff& tariff,
                              std::span<const Transfer> transfers, std::int64_t now_ms) {
  std::vector<Slot> road = open_road(links, tariff, now_ms);
  std::vector<std::size_t> order(transfers.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return transfers[a].by_ms.value_or(kNever) < transfers[b].by_ms.value_or(kNever);
  });
  std::vector<Course> courses(transfers.size());
  for (const std::size_t i : order)
    courses[i] = drive(road, transfers[i], !transfers[i].by_ms && !tariff.off_peak.empty());
  return courses;
}

Offer quote(std::span<const Link> links, const Tariff& tariff, std::span<const Transfer> promised,
            const Transfer& wanted, std::int64_t now_ms) {
  std::vector<Transfer> all(promised.begin(), promised.end());
  all.push_back(wanted);
  // Who is late already is not the new one's doing.
  const auto before = timetable(links, tariff, promised, now_ms);
  const auto holds = [&](std::vector<Course>& courses) {
    courses = timetable(links, tariff, all, now_ms);
    for (std::size_t i = 0; i < promised.size(); ++i)
      if (before[i].in_time && !courses[i].in_time) return false;
    return courses.back().in_time && courses.back().finish_ms != kNever;
  };
  Offer offer;
  std::vector<Course> courses;
  offer.accepted = holds(courses);
  offer.finish_ms = courses.back().finish_ms;
  offer.price = tariff.price(courses.back().peak_bytes, courses.back().off_peak_bytes);
  if (offer.accepted || !wanted.by_ms) return offer;
  // Later deadlines only make it easier: the least that holds, to the millisecond.
  std::int64_t low = std::max(now_ms, *wanted.by_ms), high = now_ms + kHorizonMs;
  const auto at = [&](std::int64_t by) {
    all.back().by_ms = by;
    return holds(courses);
  };
  if (!at(high)) return offer;
  while (high - low > 1) {
    const std::int64_t middle = low + (high - low) / 2;
    (at(middle) ? high : low) = middle;
  }
  offer.earliest_ms = high;
  return offer;
}

}  // namespace qanat::jobs
