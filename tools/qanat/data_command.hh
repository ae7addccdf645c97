// `qanat send`, `dataset`, `artefact`, `job`, `model`, `contract`, `statement`, `grade`: a gateway's nouns.
#pragma once

#include <string_view>

namespace qanat::cli {

bool is_data_noun(std::string_view noun);
// argv[0] is the noun. Returns the exit status.
int data_main(int argc, char** argv);

// transfer_commands
int send_main(int argc, char** argv);
int dataset_main(int argc, char** argv);
// job_commands
int job_main(int argc, char** argv);
int model_main(int argc, char** argv);
// contract_commands
int contract_main(int argc, char** argv);
int artefact_main(int argc, char** argv);
int statement_main(int argc, char** argv);
// grade_commands
int grade_main(int argc, char** argv);

}  // namespace qanat::cli
