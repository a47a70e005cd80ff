import pytest

from tests.fitted import fit_both
from titles.inference.classifier import Classifier
from titles.serving.explain import occlusion_attribution


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    return Classifier.load(fit_both(tmp_path_factory.mktemp("fitted")))


def test_the_weight_of_a_word_is_the_drop_in_the_score_of_the_best_category(classifier):
    words, weights = occlusion_attribution(classifier, "¡Palabra1 palabra5, PALABRA9!")
    assert words == ["palabra1", "palabra5", "palabra9"]
    assert list(weights) == ["cnn", "mlp", "mean"]
    (best,) = classifier.predict(["palabra1 palabra5 palabra9"]).itertuples(index=False)
    occluded = classifier.predict(["palabra1 palabra9"], top=3)
    (score,) = occluded.score[occluded.category == best.category]
    assert weights["mean"][1] == pytest.approx(best.score - score, abs=1e-5)


@pytest.mark.parametrize("title", ["", "¿?", "電話"])
def test_a_title_without_words_has_no_weights(classifier, title):
    assert occlusion_attribution(classifier, title) == ([], {"cnn": [], "mlp": [], "mean": []})
