#include "tools/qanat/data_command.hh"

#include "tools/qanat/ask.hh"

namespace qanat::cli {

namespace {

struct NounMain {
  std::string_view noun;
  int (*run)(int, char**);
};
constexpr NounMain kNouns[] = {
    {"send", send_main},   {"dataset", dataset_main},   {"artefact", artefact_main},   {"job", job_main},
    {"model", model_main}, {"contract", contract_main}, {"statement", statement_main}, {"grade", grade_main}};

}  // namespace

bool is_data_noun(std::string_view noun) {
  for (const NounMain& one : kNouns)
    if (one.noun == noun) return true;
  return false;
}

int data_main(int argc, char** argv) {
  for (const NounMain& one : kNouns)
    if (one.noun == argv[0]) return one.run(argc, argv);
  return kWrongUsage;
}

}  // namespace qanat::cli
