// ExpressService: `qanat send`: a data set to a site by a deadline, or as cheaply as can be. Takes a transfer only if its
// deadline and all that were promised before hold; says the earliest otherwise; paces what runs by the timetable; goes on
// after kill -9 with what is still missing; bills bytes by the tariff at which they went.
//
//   POST /qanat/v1/transfers {"dataset":NAME|FILE|DIGEST, "site":POOL|SITE, "by_unix_ms":N}   without by: the cheapest
//   GET  /qanat/v1/transfers, /qanat/v1/transfers/{id}      DELETE /qanat/v1/transfers/{id}
//
// With a deadline it rides `bulk`, without one `scavenger`: neither ever delays `interactive`.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "gateway/jobs/desk.hh"
#include "gateway/jobs/express/schedule.hh"
#include "gateway/jobs/jobs_config.hh"

namespace qanat::jobs {

class ExpressService : public std::enable_shared_from_this<ExpressService> {
 public:
  ExpressService(Desk& desk, ExpressConfig config);
  void add_routes(base::HttpServer& server);
  // Takes up what was under way. Once.
  void start();
  void stop();
  // Asks the network for what a transfer needs, by name; bytes 0: no longer. May be empty.
  std::function<void(const std::string& name, const std::string& node, std::uint64_t bytes, double seconds)>
      ask_network;

  std::vector<Task> tasks() const;
  // False: no such one is under way.
  bool cancel(const std::string& id);

 private:
  struct Routes;
  struct Running;
  using RunningPtr = std::shared_ptr<Running>;
  std::vector<Transfer> transfers() const;
  std::vector<Link> links(double share) const;
  std::vector<std::size_t> links_to(const PoolSite& pool) const;
  void retime();
  boost::asio::awaitable<void> tick(std::shared_ptr<ExpressService> self);
  boost::asio::awaitable<void> carry(std::shared_ptr<ExpressService> self, RunningPtr transfer);
  boost::asio::awaitable<void> take_up(std::shared_ptr<ExpressService> self);
  boost::asio::awaitable<void> keep(RunningPtr transfer);

  Desk& desk_;
  ExpressConfig config_;
  std::map<std::string, RunningPtr> running_;
};

}  // namespace qanat::jobs
