"""What the model says of an image, as a structured report of template 1500 (PS3.16).

Its SOP class is Comprehensive 3D SR, which IHE's profile AI Results asks for.
"""

from highdicom.enum import ContentQualificationValues
from highdicom.sr import (
    AlgorithmIdentification,
    Comprehensive3DSR,
    DeviceObserverIdentifyingAttributes,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    QualitativeEvaluation,
    SourceImageForMeasurementGroup,
    TrackingIdentifier,
)
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from hemf.inference.classifier import Prediction
from hemf.node.results.about import About, uid_of
from hemf.node.results.concepts import (
    ABSTAINS,
    DISAGREEMENT,
    IN_SET,
    NO,
    PREDICTED,
    UNFAMILIAR,
    UNFAMILIARITY,
    YES,
    class_concept,
    probability_concept,
    scheme,
)
from hemf.node.source import MANUFACTURER, PATIENT, STUDY, UIDS, belongs


def structured_report(
    found: Prediction, source: Dataset, about: About, instance: str, number: int
) -> Comprehensive3DSR:
    """Write down what a model says of an image.

    The most probable class is the finding, unless the model abstains; beside it stand all probabilities, as
    doubles, and the prediction set. The report is unverified and preliminary.

    Args:
        found: what the model says.
        source: the image, as ``read_source`` gives it.
        about: the model.
        instance: UID of the report.
        number: its number in its series.
    """
    made = about.made("report", source.StudyInstanceUID, instance, number)
    report = Comprehensive3DSR(
        evidence=[_plain_source(source)],
        content=_content(found, source, about),
        is_complete=True,
        is_final=False,
        is_verified=False,
        coding_schemes=[scheme()],
        content_qualification=ContentQualificationValues.RESEARCH,
        **made,
    )
    belongs(report, source)
    return report


def _content(found: Prediction, source: Dataset, about: About) -> Dataset:
    device = DeviceObserverIdentifyingAttributes(
        uid=about.device_uid,
        name=about.name,
        manufacturer_name=MANUFACTURER,
        model_name=about.name,
        serial_number=about.sha256,
    )
    observer = ObserverContext(observer_type=codes.DCM.Device, observer_identifying_attributes=device)
    return MeasurementReport(
        observation_context=ObservationContext(observer_device_context=observer),
        procedure_reported=codes.SCT.ImagingProcedure,
        imaging_measurements=[_group(found, source, about)],
    )[0]


def _group(found: Prediction, source: Dataset, about: About) -> MeasurementsAndQualitativeEvaluations:
    """Return what is said of the image (template 1501)."""
    image = source.SOPClassUID, source.SOPInstanceUID
    finding = class_concept(found.label, about.codes)
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(uid_of("tracking", about.sha256, image[1]), "whole image"),
        finding_type=None if found.abstain or found.unfamiliar else finding,
        algorithm_id=AlgorithmIdentification(
            about.name, about.version, list(about.parameters), codes.DCM.ArtificialIntelligence, MANUFACTURER
        ),
        measurements=_measurements(found),
        qualitative_evaluations=_evaluations(found, about),
        source_images=[SourceImageForMeasurementGroup(*image)],
    )


def _measurements(found: Prediction) -> list[Measurement]:
    values = [(probability_concept(name), share) for name, share in found.probabilities.items()]
    if found.disagreement is not None:
        values.append((DISAGREEMENT, found.disagreement))
    if found.unfamiliarity is not None:
        values.append((UNFAMILIARITY, found.unfamiliarity))
    return [Measurement(name, float(value), codes.UCUM.NoUnits) for name, value in values]


def _evaluations(found: Prediction, about: About) -> list[QualitativeEvaluation]:
    said = [(PREDICTED, class_concept(found.label, about.codes))]
    said += [(IN_SET, class_concept(name, about.codes)) for name in found.set or ()]
    if found.abstain is not None:
        said.append((ABSTAINS, YES if found.abstain else NO))
    if found.unfamiliar is not None:
        said.append((UNFAMILIAR, YES if found.unfamiliar else NO))
    return [QualitativeEvaluation(name, value) for name, value in said]


def _plain_source(source: Dataset) -> Dataset:
    """Return the image without what highdicom might refuse; ``belongs`` sets it as it is."""
    plain = Dataset()
    for keyword in UIDS:
        setattr(plain, keyword, source.get(keyword))
    for keyword in (*PATIENT, *STUDY):
        setattr(plain, keyword, "")
    return plain
