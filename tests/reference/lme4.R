# Writes the data and lme4's answers that tests/test_reml.py compares with: Rscript lme4.R
# Dyestuff and Pastes are from lme4's documentation; the others are simulated here, unbalanced,
# some of them with a variance at zero.
suppressMessages(library(lme4))

tight <- lmerControl(
  optimizer = "bobyqa",
  optCtrl = list(rhobeg = 1e-3, rhoend = 1e-12, maxfun = 1e5),
  check.conv.singular = "ignore", calc.derivs = FALSE
)

pastes <- data.frame(
  data = "pastes", group1 = as.integer(Pastes$batch), group2 = as.integer(Pastes$cask),
  x = 0, y = Pastes$strength
)

simulated <- function(seed, a, b, r, sds, share) {
  set.seed(seed)
  rows <- expand.grid(rep = 1:r, group2 = 1:b, group1 = 1:a)
  cell <- (rows$group1 - 1) * b + rows$group2
  x <- round(rnorm(nrow(rows)), 4)
  y <- 10 + x / 2 + sds[1] * rnorm(a)[rows$group1] + sds[2] * rnorm(a * b)[cell] +
    sds[3] * rnorm(nrow(rows))
  frame <- data.frame(
    data = paste0("simulated", seed), group1 = rows$group1, group2 = rows$group2,
    x = x, y = round(y, 6)
  )
  frame[runif(nrow(frame)) < share, ]
}

sets <- list(
  pastes,
  simulated(1, 20, 5, 5, c(2, 3, 4), .7),
  simulated(2, 20, 5, 5, c(0, 3, 4), .7),
  simulated(3, 20, 5, 5, c(2, 0, 4), .7),
  simulated(4, 20, 5, 5, c(0, 0, 4), .7),
  simulated(5, 8, 4, 3, c(2, 3, 4), .8),
  simulated(6, 4, 3, 30, c(10, 1, .1), .5),
  simulated(7, 30, 2, 2, c(.1, 1, 1), .9)
)

answer <- function(frame, reml, with_x) {
  formula <- if (with_x) y ~ 1 + x + (1 | group1 / group2) else y ~ 1 + (1 | group1 / group2)
  starts <- list(c(1, 1), c(.01, 1), c(1, .01), c(0, 0))
  fits <- lapply(starts, function(theta) {
    lmer(formula, frame, REML = reml, control = tight, start = theta)
  })
  fit <- fits[[which.max(sapply(fits, logLik))]]
  parts <- as.data.frame(VarCorr(fit))
  data.frame(
    data = frame$data[1], reml = reml, with_x = with_x,
    group1_var = parts$vcov[parts$grp == "group1"],
    group2_var = parts$vcov[parts$grp == "group2:group1"],
    unexplained_var = parts$vcov[parts$grp == "Residual"],
    llf = as.numeric(logLik(fit)),
    intercept = fixef(fit)[[1]], intercept_se = sqrt(vcov(fit)[1, 1])
  )
}

cases <- do.call(rbind, lapply(sets, function(frame) {
  choices <- expand.grid(reml = c(TRUE, FALSE), with_x = if (any(frame$x != 0)) c(FALSE, TRUE) else FALSE)
  do.call(rbind, Map(function(reml, with_x) answer(frame, reml, with_x), choices$reml, choices$with_x))
}))
write.csv(Dyestuff, "dyestuff.csv", row.names = FALSE, quote = FALSE)
write.csv(do.call(rbind, sets), "lme4_data.csv", row.names = FALSE, quote = FALSE)
numbers <- sapply(cases, is.numeric)
cases[numbers] <- lapply(cases[numbers], function(value) sprintf("%.15g", value))
write.csv(cases, "lme4_answers.csv", row.names = FALSE, quote = FALSE)
dyestuff <- lmer(Yield ~ 1 + (1 | Batch), Dyestuff, control = lmerControl(optCtrl = list(xtol_abs = 1e-12, ftol_abs = 1e-14)))
print(VarCorr(dyestuff), comp = "Variance", digits = 10)
print(logLik(dyestuff), digits = 12)
