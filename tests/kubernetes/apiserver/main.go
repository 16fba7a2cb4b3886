// Says what an API server would say of manifests that it is to create: decoding, defaults and validation are Kubernetes' own, and
// pods are looked at by the admission plugin PodSecurity, level "restricted". YAML on standard input; a line for each fault, and an
// exit code of 1 if there is one. Kinds of other projects are passed over: kubeconform knows their schemas.
package main

import (
	"bufio"
	"fmt"
	"io"
	"os"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"k8s.io/kubernetes/pkg/apis/apps"
	_ "k8s.io/kubernetes/pkg/apis/apps/install"
	appsvalidation "k8s.io/kubernetes/pkg/apis/apps/validation"
	"k8s.io/kubernetes/pkg/apis/autoscaling"
	_ "k8s.io/kubernetes/pkg/apis/autoscaling/install"
	autoscalingvalidation "k8s.io/kubernetes/pkg/apis/autoscaling/validation"
	"k8s.io/kubernetes/pkg/apis/core"
	_ "k8s.io/kubernetes/pkg/apis/core/install"
	corevalidation "k8s.io/kubernetes/pkg/apis/core/validation"
	"k8s.io/kubernetes/pkg/apis/networking"
	_ "k8s.io/kubernetes/pkg/apis/networking/install"
	networkingvalidation "k8s.io/kubernetes/pkg/apis/networking/validation"
	"k8s.io/kubernetes/pkg/apis/policy"
	_ "k8s.io/kubernetes/pkg/apis/policy/install"
	policyvalidation "k8s.io/kubernetes/pkg/apis/policy/validation"
	"k8s.io/pod-security-admission/api"
	security "k8s.io/pod-security-admission/policy"
)

func validate(object runtime.Object) (field.ErrorList, error) {
	switch one := object.(type) {
	case *apps.Deployment:
		return appsvalidation.ValidateDeployment(one, corevalidation.PodValidationOptions{}), nil
	case *apps.StatefulSet:
		return appsvalidation.ValidateStatefulSet(one, corevalidation.PodValidationOptions{}), nil
	case *core.Pod:
		return corevalidation.ValidatePodCreate(one, corevalidation.PodValidationOptions{}), nil
	case *core.Service:
		// As the server fills it in before it looks.
		if one.Spec.ClusterIP != "" {
			one.Spec.ClusterIPs = []string{one.Spec.ClusterIP}
		}
		return corevalidation.ValidateServiceCreate(one), nil
	case *core.ConfigMap:
		return corevalidation.ValidateConfigMap(one), nil
	case *core.ServiceAccount:
		return corevalidation.ValidateServiceAccount(one), nil
	case *policy.PodDisruptionBudget:
		return policyvalidation.ValidatePodDisruptionBudget(one, policyvalidation.PodDisruptionBudgetValidationOptions{}), nil
	case *networking.NetworkPolicy:
		return networkingvalidation.ValidateNetworkPolicy(one, networkingvalidation.NetworkPolicyValidationOptions{}), nil
	case *autoscaling.HorizontalPodAutoscaler:
		return autoscalingvalidation.ValidateHorizontalPodAutoscaler(one, autoscalingvalidation.HorizontalPodAutoscalerSpecValidationOptions{}), nil
	}
	return nil, fmt.Errorf("nobody validates a %T", object)
}

// podOf is the pod that an object makes, as it was given.
func podOf(content []byte) (*metav1.ObjectMeta, *corev1.PodSpec) {
	object, _, err := legacyscheme.Codecs.UniversalDeserializer().Decode(content, nil, nil)
	if err != nil {
		return nil, nil
	}
	switch one := object.(type) {
	case *appsv1.Deployment:
		return &one.Spec.Template.ObjectMeta, &one.Spec.Template.Spec
	case *appsv1.StatefulSet:
		return &one.Spec.Template.ObjectMeta, &one.Spec.Template.Spec
	case *corev1.Pod:
		return &one.ObjectMeta, &one.Spec
	}
	return nil, nil
}

func main() {
	evaluator, err := security.NewEvaluator(security.DefaultChecks())
	if err != nil {
		panic(err)
	}
	documents := yaml.NewYAMLReader(bufio.NewReader(os.Stdin))
	looked, faults := 0, 0
	fault := func(what string, text any) {
		fmt.Printf("%s: %v\n", what, text)
		faults++
	}
	for {
		content, err := documents.Read()
		if err == io.EOF {
			break
		}
		var about metav1.PartialObjectMetadata
		if err := yaml.Unmarshal(content, &about); err != nil {
			fault("?", err)
			continue
		}
		if !legacyscheme.Scheme.Recognizes(about.GroupVersionKind()) {
			continue
		}
		looked++
		what := about.Kind + " " + about.Name
		object, _, err := legacyscheme.Codecs.UniversalDecoder().Decode(content, nil, nil)
		if err != nil {
			fault(what, err)
			continue
		}
		if accessor, ok := object.(metav1.ObjectMetaAccessor); ok && accessor.GetObjectMeta().GetNamespace() == "" {
			accessor.GetObjectMeta().SetNamespace("default")
		}
		found, err := validate(object)
		if err != nil {
			fault(what, err)
		}
		for _, one := range found {
			fault(what, one)
		}
		if about, pod := podOf(content); pod != nil {
			for _, result := range evaluator.EvaluatePod(api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}, about, pod) {
				if !result.Allowed {
					fault(what, "not restricted: "+result.ForbiddenReason+" ("+result.ForbiddenDetail+")")
				}
			}
		}
	}
	fmt.Printf("%d objects, %d faults\n", looked, faults)
	if faults > 0 || looked == 0 {
		os.Exit(1)
	}
}
